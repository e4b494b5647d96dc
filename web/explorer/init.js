// Starts GraphiQL with the saved examples in tabs, filled in with a store, a customer and a day that are there.
const url = new URL("/graphql", location.href);
const socket = new URL(url);
socket.protocol = location.protocol === "https:" ? "wss:" : "ws:";

// In the order of the tabs: reading first, then changing and watching.
const examples = [
  "customers", "timeline", "explain", "segments", "members", "genealogy", "risk", "backtest", "drift", "journey", "cohorts",
  "snapshots", "past", "runs", "page", "recluster", "progress", "import", "live", "snapshot", "taken", "cleanup", "export",
];

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
    const store = (await ask("{ stores(first: 1) { nodes { key now } } }")).stores.nodes[0];
    if (!store) return {};
    const best = await ask(
      "query ($store: String!) { customers(filter: { storeId: $store }, orderBy: { field: TOTAL_VALUE, direction: DESC }, first: 1) { nodes { customerId } } }",
      { store: store.key },
    );
    const day = new Date(store.now ?? Date.now());
    day.setUTCDate(day.getUTCDate() - 90);
    return { store: store.key, customer: best.customers.nodes[0]?.customerId, day: day.toISOString().slice(0, 10) };
  } catch {
    return {};
  }
}

// The values become the variables' defaults, so that an example runs as it stands.
function filledIn(text, values) {
  return text.replace(/\$(store|customer|day): (?:String|Date)!/g, (found, name) =>
    values[name] ? `${found} = ${JSON.stringify(values[name])}` : found,
  );
}

async function start() {
  const [values, ...texts] = await Promise.all([
    sample(),
    ...examples.map(async (name) => (await fetch(`examples/${name}.graphql`)).text()),
  ]);
  const fetcher = GraphiQL.createFetcher({ url: url.href, subscriptionUrl: socket.href });
  const defaultTabs = texts.map((text) => ({ query: filledIn(text, values) }));
  ReactDOM.createRoot(document.getElementById("explorer")).render(
    React.createElement(GraphiQL, { fetcher, defaultTabs }),
  );
}

start().catch((fault) => {
  document.getElementById("explorer").textContent = `The explorer could not start: ${fault.message}`;
});
