// The schema is held to the recommended rules and those of Relay's connections. What differs from them says why.
import graphql from "@graphql-eslint/eslint-plugin";

export default [
  {
    files: ["**/*.graphqls"],
    languageOptions: {
      parser: graphql.parser,
      parserOptions: { graphQLConfig: { schema: "schema/*.graphqls" } },
    },
    plugins: { "@graphql-eslint": graphql },
    rules: {
      ...graphql.configs["flat/schema-recommended"].rules,
      ...graphql.configs["flat/schema-relay"].rules,
      "@graphql-eslint/input-name": ["error", { checkInputType: true, caseSensitiveInputType: false }],
      "@graphql-eslint/no-scalar-result-type-on-mutation": "error",
      "@graphql-eslint/require-deprecation-reason": "error",
      "@graphql-eslint/require-description": ["error", { types: true, DirectiveDefinition: true, EnumValueDefinition: true, FieldDefinition: true, InputValueDefinition: true }],
      "@graphql-eslint/require-nullable-fields-with-oneof": "error",
      // customerId is the store's own identifier beside id, the global one.
      "@graphql-eslint/no-typename-prefix": "off",
      // A long description may stand in a block.
      "@graphql-eslint/description-style": "off",
      // A list that the model or a range of dates bounds is a plain list.
      "@graphql-eslint/relay-edge-types": ["error", { withEdgeSuffix: true, shouldImplementNode: false, listTypeCanWrapOnlyEdgeType: false }],
      // Only what can be asked for again by node(id:) has an id; answers, pages and parts of a thing have none.
      "@graphql-eslint/strict-id-in-types": "off",
    },
  },
];
