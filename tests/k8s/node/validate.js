// Validates custom resources: JSON objects on standard input, one fault a line on standard output.
// Fields that a schema does not have are tsc's to find (test_crds.py): this takes them.
import { readFileSync } from "node:fs";

const groups = JSON.parse(process.argv[2]);

for (const item of JSON.parse(readFileSync(0, "utf8"))) {
  const [group, version] = item.apiVersion.split("/");
  const path = `@kubernetes-models/${groups[group]}/${group}/${version}/${item.kind}`;
  try {
    const { [item.kind]: Model } = await import(path);
    new Model(item).validate();
  } catch (error) {
    console.log(`${item.kind}/${item.metadata.name}: ${error.message.split("\n").join(" ")}`);
  }
}
