// Reads a JSON array of LogQL queries; writes for each the errors that Grafana's own grammar finds, the
// labels and members that it names, and the text that it looks for in lines.
import { readFileSync } from "node:fs";
import { parser } from "@grafana/lezer-logql";

// Labels in braces are the collector's; all others are members of a line, or of both.
function isInSelector(node) {
  for (let at = node; at; at = at.parent) if (at.name === "Selector") return true;
  return false;
}

function read(query) {
  const found = { errors: [], labels: [], names: [], lines: [] };
  parser.parse(query).iterate({
    enter({ type, from, to, node }) {
      const text = query.slice(from, to);
      if (type.isError) found.errors.push(from);
      if (type.name === "Identifier") {
        (isInSelector(node) ? found.labels : found.names).push(text);
      }
      if (type.name === "String" && node.parent.name === "LineFilter") {
        found.lines.push(text.slice(1, -1));
      }
    },
  });
  return found;
}

const queries = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(queries.map(read)));
