// Runs every subscription of the schema twice, by the public clients: graphql-ws over WebSocket, graphql-sse over
// server-sent events. The server has store "shop" with drift events and a finished run.
//   node subscriptions.mjs http://127.0.0.1:8080/graphql
import { createClient as createSocketClient } from "graphql-ws";
import { createClient as createEventClient } from "graphql-sse";
import WebSocket from "ws";

const url = process.argv[2];

async function ask(query) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ query }),
  });
  const { data, errors } = await answer.json();
  if (errors) throw new Error(JSON.stringify(errors));
  return data;
}

// take subscribes until it has so many events, or to the end; it gives them.
async function take(client, query, variables, most) {
  const events = [];
  for await (const event of client.iterate({ query, variables })) {
    if (event.errors) throw new Error(JSON.stringify(event.errors));
    events.push(event.data);
    if (events.length === most) break;
  }
  return events;
}

function expect(fine, what, got) {
  if (!fine) throw new Error(`${what}: ${JSON.stringify(got)}`);
}

const { __schema: { subscriptionType }, store, driftEvents } = await ask(`{
  __schema { subscriptionType { fields { name } } }
  store(key: "shop") { latestRun(kind: RECLUSTER) { id } }
  driftEvents(first: 100) { nodes { id } totalCount }
}`);
const ids = driftEvents.nodes.map((event) => event.id);

const subscriptions = {
  // A run that is over: its state, and the end.
  async runProgress(client) {
    const got = await take(client, "subscription ($id: ID!) { runProgress(runId: $id) { state fraction run { id } } }", { id: store.latestRun.id });
    expect(got.length === 1 && got[0].runProgress.state === "SUCCEEDED" && got[0].runProgress.run.id === store.latestRun.id, "runProgress", got);
  },
  // A reconnection after the third event to the last but one, and again from there on: together nothing is lost or doubled.
  async driftEvents(client) {
    const query = `subscription ($after: ID) { driftEvents(after: $after, filter: { storeId: "shop", minSeverity: MINOR, causes: [ORDER, TIME] }) { id severity customer { customerId } } }`;
    const oldest = ids.toSorted((a, b) => number(a) - number(b));
    const begin = await take(client, query, { after: oldest[2] }, oldest.length - 5);
    const rest = await take(client, query, { after: begin.at(-1).driftEvents.id }, 2);
    const got = [...begin, ...rest].map((event) => event.driftEvents.id);
    expect(JSON.stringify(got) === JSON.stringify(oldest.slice(3)), "driftEvents after the third", { got, want: oldest.slice(3) });
  },
  // Snapshots are taken until the subscription, which begins at some time, tells of one.
  async snapshotsTaken(client) {
    let told = false;
    const telling = take(client, `subscription { snapshotsTaken(storeId: "shop") { storeId type date count } }`, {}, 1).finally(() => (told = true));
    const snap = `mutation { createSnapshot(input: { customer: { key: { storeId: "shop", customerId: "c001" } }, type: DAILY, onConflict: REPLACE }) { created userErrors { message } } }`;
    while (!told) {
      const { createSnapshot } = await ask(snap);
      expect(createSnapshot.created, "createSnapshot", createSnapshot);
      await Promise.race([telling, new Promise((go) => setTimeout(go, 50))]);
    }
    const [{ snapshotsTaken: got }] = await telling;
    expect(got.storeId === "shop" && got.type === "DAILY" && got.count >= 1, "snapshotsTaken", got);
  },
};

// number is the event's place: the last part of what its id holds. Only a test of the server may take an id apart.
function number(id) {
  const [value] = Buffer.from(id, "base64url").toString().match(/\d+$/);
  return Number(value);
}

const names = subscriptionType.fields.map((field) => field.name).sort();
expect(JSON.stringify(names) === JSON.stringify(Object.keys(subscriptions).sort()), "the schema's subscriptions are not those that are tried", names);

const clients = {
  "graphql-ws": createSocketClient({ url: url.replace(/^http/, "ws"), webSocketImpl: WebSocket, retryAttempts: 0 }),
  "graphql-sse": createEventClient({ url, retryAttempts: 0 }),
};
for (const [library, client] of Object.entries(clients)) {
  for (const name of names) {
    await subscriptions[name](client);
    console.log(`${library}: ${name}`);
  }
  await client.dispose();
}
