// Judges a dashboard, the JSON on the standard input, by Grafana's types. Prints what is wrong, a line each.
const Ajv = require("ajv");
const path = require("node:path");
const { createGenerator } = require("ts-json-schema-generator");

const generator = createGenerator({
  path: path.join(__dirname, "schema.ts"),
  additionalProperties: false,
  // Two of the packages' types may have one name.
  expose: "none",
  topRef: false,
});
const ajv = new Ajv({ allErrors: true, strict: false });

function judge(type, value, place) {
  const isValid = ajv.compile(generator.createSchema(type));
  if (isValid(value)) return;
  for (const { instancePath, message, params } of isValid.errors) {
    console.log(`${place}${instancePath}: ${message} ${JSON.stringify(params)}`);
  }
}

const { panels, ...dashboard } = JSON.parse(require("node:fs").readFileSync(0));
judge("dashboard", dashboard, "dashboard");
for (const panel of panels) judge(panel.type.replaceAll("-", ""), panel, `panel ${panel.id}`);
