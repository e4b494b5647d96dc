// Prints how a customer's segment changed on one axis: npm run build && npm start -- http://127.0.0.1:8080/graphql demo C1001682
import type { TadaDocumentNode } from "gql.tada";
import { print } from "graphql";
import { graphql } from "./graphql.js";

const timeline = graphql(`
  query Timeline($store: String!, $customer: String!) {
    customer(by: { key: { storeId: $store, customerId: $customer } }) {
      totalValue
      timeline(axes: ["purchase_frequency"]) {
        dates
        axes {
          axis { name }
          dominantPaths
          series { segment { name } scores }
        }
      }
    }
  }
`);

// ask sends a query; its answer has the type that the query gives it.
async function ask<Data, Variables>(url: string, query: TadaDocumentNode<Data, Variables>, variables: Variables): Promise<Data> {
  const headers: Record<string, string> = { "Content-Type": "application/json", Accept: "application/graphql-response+json" };
  if (process.env.QUIMBI_TOKEN) headers.Authorization = `Bearer ${process.env.QUIMBI_TOKEN}`;
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query: print(query), variables }) });
  const { data, errors } = (await response.json()) as { data: Data; errors?: { message: string }[] };
  if (errors) throw new Error(errors.map((e) => e.message).join("; "));
  return data;
}

const [url, store, customer] = process.argv.slice(2);
const { customer: found } = await ask(url, timeline, { store, customer });
if (found) {
  const { dates, axes } = found.timeline;
  console.log(`${customer}: orders worth ${found.totalValue}`);
  for (const { axis, dominantPaths, series } of axes) {
    dates.forEach((date, i) => {
      const mix = series.map(({ segment, scores }) => `${segment.name} ${((scores[i] ?? 0) * 100).toFixed(0)} %`);
      console.log(`${date} ${axis.name}: ${dominantPaths[i] ?? "none"} (${mix.join(", ")})`);
    });
  }
}
