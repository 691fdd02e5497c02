// Draws each panel by its type: what Grafana would show, with ECharts.
"use strict";

const UNIT_HEIGHT = 38; // pixels of one row of Grafana's grid

function escaped(text) {
  const span = document.createElement("span");
  span.textContent = text;
  return span.innerHTML;
}

function scaled(value, steps) {
  for (const [limit, factor, name] of steps) {
    if (Math.abs(value) >= limit) return trim(value / factor) + name;
  }
  return trim(value);
}

function trim(value, decimals) {
  if (decimals !== null && decimals !== undefined) return value.toFixed(decimals);
  if (value === 0) return "0";
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  const fixed = value.toFixed(digits);
  return Number(fixed) === 0 ? value.toPrecision(2) : fixed;
}

const SECONDS = [[86400, 86400, " d"], [3600, 3600, " h"], [60, 60, " min"], [1, 1, " s"], [1e-3, 1e-3, " ms"], [0, 1e-6, " µs"]];
const BYTES = [[2 ** 30, 2 ** 30, " GiB"], [2 ** 20, 2 ** 20, " MiB"], [2 ** 10, 2 ** 10, " KiB"], [0, 1, " B"]];
const COUNTS = [[1e9, 1e9, " G"], [1e6, 1e6, " M"], [1e4, 1e3, " k"]];
const RATES = { reqps: " req/s", rps: " rows/s", ops: "/s" };

// A value in its unit, as people read it.
function shown(value, unit, decimals) {
  if (!Number.isFinite(value)) return "";
  if (unit === "percentunit") return trim(100 * value, decimals) + " %";
  if (unit === "s") return value === 0 ? "0 s" : scaled(value, SECONDS);
  if (unit === "bytes") return scaled(value, BYTES);
  if (unit === "sci") return value.toExponential(1);
  if (unit in RATES) return scaled(value, COUNTS) + RATES[unit];
  const isCount = unit === "short" || decimals === null || decimals === undefined;
  return isCount ? scaled(value, COUNTS) : trim(value, decimals);
}

function legend(query, labels) {
  if (query.legend === "__auto" || query.legend === "") {
    return Object.entries(labels).filter(([name]) => name !== "__name__").map(([, value]) => value).join(" ") || "value";
  }
  return query.legend.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? "").trim();
}

// [name, points] of every series; points are [milliseconds, value].
function lines(panel) {
  return panel.queries.flatMap((query) =>
    query.series.filter((one) => one.values).map((one) => [
      legend(query, one.metric),
      one.values.map(([at, value]) => [1000 * at, Number(value)]).filter(([, value]) => Number.isFinite(value)),
    ])
  ).filter(([, points]) => points.length);
}

function color(value, steps) {
  let found = "green";
  for (const step of steps) if (step.value === null || value >= step.value) found = step.color;
  return { green: "#2f8f3e", orange: "#d97700", red: "#c4162a" }[found] ?? found;
}

function mapped(value, mappings) {
  for (const mapping of mappings) {
    const hit = mapping.options[String(value)];
    if (hit) return hit;
  }
  return null;
}

const X = { type: "time", min: 1000 * DATA.start, max: 1000 * DATA.end, axisLabel: { fontSize: 10, hideOverlap: true } };

function drawLines(panel, place) {
  const found = lines(panel);
  if (!found.length) return none(panel, place);
  const series = found.map(([name, points]) => ({
    name, type: "line", data: panel.isLog ? points.filter(([, value]) => value > 0) : points,
    showSymbol: points.length < 4, symbolSize: 4, lineStyle: { width: 1.3 },
    ...(panel.isStacked ? { stack: "all", areaStyle: { opacity: 0.3 } } : {}),
  }));
  const limit = panel.steps.find((step) => step.value !== null && step.value !== undefined);
  if (panel.isLimited && limit) {
    series[0].markLine = { silent: true, symbol: "none", label: { show: false }, lineStyle: { color: "#c4162a", type: "dashed" }, data: [{ yAxis: limit.value }] };
  }
  echarts.init(place).setOption({
    animation: false, grid: { left: 62, right: 10, top: 8, bottom: 40 },
    tooltip: { trigger: "axis", valueFormatter: (value) => shown(value, panel.unit) },
    legend: { type: "scroll", bottom: 0, itemWidth: 12, itemHeight: 8, textStyle: { fontSize: 10 } },
    xAxis: X, yAxis: { type: panel.isLog ? "log" : "value", scale: true, ...(panel.unit === "none" ? {} : { min: panel.isLog ? undefined : 0 }), axisLabel: { fontSize: 10, formatter: (value) => shown(value, panel.unit) } },
    series,
  });
}

function drawHeatmap(panel, place) {
  const buckets = panel.queries[0].series
    .map((one) => [Number(one.metric.le.replace("+Inf", "Infinity")), new Map(one.values.map(([at, value]) => [at, Number(value)]))])
    .sort(([one], [other]) => one - other);
  const times = [...new Set(buckets.flatMap(([, values]) => [...values.keys()]))].sort((one, other) => one - other);
  const cells = [];
  let most = 0;
  buckets.forEach(([, values], row) => {
    const below = row ? buckets[row - 1][1] : new Map();
    times.forEach((at, column) => {
      const count = (values.get(at) ?? 0) - (below.get(at) ?? 0);
      if (count > 1e-9) { cells.push([column, row, count]); most = Math.max(most, count); }
    });
  });
  if (!cells.length) return none(panel, place);
  echarts.init(place).setOption({
    animation: false, grid: { left: 62, right: 10, top: 8, bottom: 24 },
    tooltip: { formatter: ({ data }) => `${shown(data[2], "short")} up to ${shown(buckets[data[1]][0], panel.unit)}` },
    xAxis: { type: "category", data: times.map((at) => new Date(1000 * at).toISOString().slice(11, 19)), axisLabel: { fontSize: 10 } },
    yAxis: { type: "category", data: buckets.map(([le]) => le === Infinity ? "more" : shown(le, panel.unit)), axisLabel: { fontSize: 10 } },
    visualMap: { show: false, min: 0, max: most, inRange: { color: ["#fff3e0", "#ffb74d", "#e65100"] } },
    series: [{ type: "heatmap", data: cells }],
  });
}

function drawTimeline(panel, place) {
  const found = lines(panel);
  if (!found.length) return none(panel, place);
  const data = found.flatMap(([, points], row) => points.map(([at, value], index) => {
    const until = points[index + 1]?.[0] ?? at + (points[1]?.[0] - points[0][0] || 1000);
    const state = mapped(value, panel.mappings) ?? { text: String(value), color: "#999" };
    return { value: [row, at, until, state.text], itemStyle: { color: { green: "#56a64b", blue: "#5794f2", orange: "#ff9830", red: "#e02f44" }[state.color] ?? state.color } };
  }));
  echarts.init(place).setOption({
    animation: false, grid: { left: 150, right: 10, top: 8, bottom: 24 },
    tooltip: { formatter: ({ data: one }) => one.value[3] },
    xAxis: X, yAxis: { type: "category", data: found.map(([name]) => name), axisLabel: { fontSize: 10, width: 140, overflow: "truncate" } },
    series: [{
      type: "custom", data, encode: { x: [1, 2], y: 0 },
      renderItem: (_, api) => {
        const [left, middle] = api.coord([api.value(1), api.value(0)]);
        const [right] = api.coord([api.value(2), api.value(0)]);
        const height = api.size([0, 1])[1] * 0.7;
        return { type: "rect", shape: { x: left, y: middle - height / 2, width: Math.max(1, right - left), height }, style: api.style() };
      },
    }],
  });
}

function drawStat(panel, place) {
  const series = panel.queries[0].series[0];
  const pair = series && (series.value ?? series.values[series.values.length - 1]);
  if (!pair || !Number.isFinite(Number(pair[1]))) return none(panel, place);
  const value = Number(pair[1]);
  place.className = "number";
  place.style.color = color(value, panel.steps);
  place.textContent = shown(value, panel.unit, panel.decimals);
}

function drawTable(panel, place) {
  const rows = new Map();
  for (const query of panel.queries) {
    for (const one of query.series) {
      const labels = Object.fromEntries(Object.entries(one.metric).filter(([name]) => name !== "__name__"));
      const key = JSON.stringify(Object.entries(labels).sort());
      const row = rows.get(key) ?? labels;
      row[`Value #${query.letter}`] = Number(one.value[1]);
      rows.set(key, row);
    }
  }
  if (!rows.size) return none(panel, place);
  const columns = Object.entries(panel.renames);
  const sort = columns.find(([, name]) => name === panel.sortBy[0]?.displayName)?.[0];
  const sorted = [...rows.values()].sort((one, other) => (other[sort] ?? -1) - (one[sort] ?? -1));
  const property = (name, id) => panel.overrides.find((one) => one.matcher.options === name)?.properties.find((one) => one.id === id)?.value;
  const cell = ([key, name], row) => {
    if (!key.startsWith("Value")) return `<td>${escaped(row[key] ?? "")}</td>`;
    const value = row[key];
    const state = value === undefined ? null : mapped(value, property(name, "mappings") ?? []);
    const text = value === undefined ? "" : state ? state.text : shown(value, property(name, "unit"), property(name, "decimals"));
    return `<td class="value"${state ? ` style="color:${state.color === "green" ? "#2f8f3e" : "#d97700"}"` : ""}>${escaped(text)}</td>`;
  };
  place.className = "scroll";
  place.innerHTML = `<table><tr>${columns.map(([key, name]) => `<th${key.startsWith("Value") ? ' class="value"' : ""}>${escaped(name)}</th>`).join("")}</tr>` +
    sorted.map((row) => `<tr>${columns.map((column) => cell(column, row)).join("")}</tr>`).join("") + "</table>";
}

function none(panel, place) {
  place.className = "none";
  place.textContent = panel.none;
}

const DRAW = { stat: drawStat, timeseries: drawLines, heatmap: drawHeatmap, "state-timeline": drawTimeline, table: drawTable };

document.getElementById("about").textContent = `drawn ${DATA.drawn}; descriptions show on pointing`;
for (const board of DATA.boards) {
  const link = document.createElement("a");
  link.href = `#${board.uid}`;
  link.textContent = board.title;
  document.getElementById("links").append(link);
  const heading = document.createElement("h2");
  heading.id = board.uid;
  heading.innerHTML = `${escaped(board.title)}<small>${escaped(board.description)}</small>`;
  const area = document.createElement("section");
  area.className = "board";
  document.getElementById("boards").append(heading, area);
  let lowest = 0;
  for (const panel of board.panels) {
    const { x, y, w, h } = panel.place;
    lowest = Math.max(lowest, y + h);
    const outer = document.createElement("div");
    outer.className = "panel";
    outer.style.cssText = `left:${(100 * x) / 24}%;width:${(100 * w) / 24}%;top:${y * UNIT_HEIGHT}px;height:${h * UNIT_HEIGHT}px`;
    const box = document.createElement("div");
    box.className = "box";
    box.title = panel.description;
    const title = document.createElement("div");
    title.className = "title";
    title.textContent = (panel.row ? `${panel.row}: ` : "") + panel.title;
    const place = document.createElement("div");
    place.className = "chart";
    box.append(title, place);
    outer.append(box);
    area.append(outer);
    DRAW[panel.type](panel, place);
    box.dataset.drawn = place.className;
  }
  area.style.height = `${lowest * UNIT_HEIGHT}px`;
}
document.body.dataset.done = "yes";
