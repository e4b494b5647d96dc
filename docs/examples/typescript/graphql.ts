// The types of Quimbi's schema. graphql-env.d.ts is made from docs/schema.graphql by `npm run build`.
import { initGraphQLTada } from "gql.tada";
import type { introspection } from "./graphql-env.d.ts";

export const graphql = initGraphQLTada<{
  introspection: introspection;
  scalars: {
    Date: string; // YYYY-MM-DD, a day in the store's time zone
    DateTime: string;
    Decimal: string; // exact: keep it a string, or give it to a decimal library
    Long: string;
    FloatList: (number | null)[];
    JSON: unknown;
  };
}>();
