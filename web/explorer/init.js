// Starts GraphiQL with the saved examples in tabs. Their variables name a store and a customer that are there.
const url = new URL("/graphql", location.href);
const socket = new URL(url);
socket.protocol = location.protocol === "https:" ? "wss:" : "ws:";

const examples = ["customers", "timeline", "segments", "drift", "recluster", "progress"];

async function ask(query, variables) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  return (await answer.json()).data;
}

async function sample() {
  try {
    const store = (await ask("{ stores(first: 1) { nodes { key } } }")).stores.nodes[0]?.key;
    if (!store) return {};
    const best = await ask(
      "query ($store: String!) { customers(filter: { storeId: $store }, orderBy: { field: TOTAL_VALUE, direction: DESC }, first: 1) { nodes { customerId } } }",
      { store },
    );
    return { store, customer: best.customers.nodes[0]?.customerId };
  } catch {
    return {};
  }
}

function variables(name, { store, customer }) {
  if (name === "progress") return { run: "" };
  return name === "timeline" ? { store: store ?? "", customer: customer ?? "" } : { store: store ?? "" };
}

async function start() {
  const [values, ...texts] = await Promise.all([
    sample(),
    ...examples.map(async (name) => (await fetch(`examples/${name}.graphql`)).text()),
  ]);
  const fetcher = GraphiQL.createFetcher({ url: url.href, subscriptionUrl: socket.href });
  const defaultTabs = examples.map((name, i) => ({
    query: texts[i],
    variables: JSON.stringify(variables(name, values), null, 2),
  }));
  ReactDOM.createRoot(document.getElementById("explorer")).render(
    React.createElement(GraphiQL, { fetcher, defaultTabs, defaultEditorToolsVisibility: true }),
  );
}

start().catch((fault) => {
  document.getElementById("explorer").textContent = `The explorer could not start: ${fault.message}`;
});
