// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

"use strict";

// The matrix: clients and targets, each field the pairs of the two. Whatever there is more of goes down. It shows where
// policy is enforced in part: on one node and not on another, for one target and not for the rest.
report.Matrix = class {
  constructor(parent, data, view) {
    Object.assign(this, { data, view });
    const p = data.pairs;
    this.nodes = p.clientNode.some((n) => n > 0) && p.targetNode.some((n) => n > 0);
    this.by =
      this.nodes && Math.max(new Set(p.target).size, new Set(p.client).size) > report.Matrix.most ? "node" : "pod";
    this.box = report.element("div", { class: "matrix-box", role: "img" });
    this.said = report.element("p", { class: "muted" });
    this.table = report.element("div", {
      class: "scroll",
      tabindex: "0",
      role: "group",
      "aria-label": `Clients and targets of ${data.title} as a table`,
    });
    parent.append(
      report.element(
        "figure",
        { class: "drawn" },
        report.element("figcaption", {}, report.element("h4", {}, "Which clients, which targets"), this.said),
        report.element("div", { class: "above" }, this.legend(), this.nodes ? this.choice() : null),
        this.box,
        report.element("details", {}, report.element("summary", {}, "As a table"), this.table),
      ),
    );
    this.count();
    this.chart = new report.Chart(
      this.box,
      (chart) => this.option(chart),
      (chart) => this.listen(chart),
    );
    view.listeners.push(() => this.changed());
  }

  changed() {
    this.count();
    this.chart.draw();
  }

  legend() {
    return report.element(
      "ul",
      { class: "legend" },
      ...Object.values(report.Matrix.kinds).map((kind) =>
        report.element(
          "li",
          {},
          report.element("span", { class: "glyph " + kind.style, "aria-hidden": "true" }, kind.sign),
          this.data.forbidden ? kind.forbidden : kind.text,
        ),
      ),
    );
  }

  choice() {
    const select = report.element(
      "select",
      {
        onchange: (event) => {
          this.by = event.target.value;
          this.changed();
        },
      },
      report.element("option", { value: "pod", selected: this.by === "pod" }, "pods"),
      report.element("option", { value: "node", selected: this.by === "node" }, "nodes"),
    );
    return report.element("div", { class: "switches" }, report.element("label", {}, "by ", select));
  }

  // count gathers the pairs that the filters let through into fields.
  count() {
    const p = this.data.pairs;
    const [clients, targets] = this.by === "node" ? [p.clientNode, p.targetNode] : [p.client, p.target];
    const name = (number) => p.texts[number] || "not known";
    const fields = new Map();
    for (const row of this.view.rows) {
      const [client, target] = [name(clients[row]), name(targets[row])];
      const key = JSON.stringify([client, target]);
      if (!fields.has(key))
        fields.set(key, { client, target, pairs: 0, fine: 0, leaks: 0, censored: 0, unproved: 0, times: [] });
      const field = fields.get(key);
      field.pairs++;
      field.leaks += p.leaks[row];
      if (p.status[row] === 0 && p.leaks[row] === 0) field.fine++;
      if (p.status[row] === 1) field.censored++;
      if (p.status[row] > 1) field.unproved++;
      if (p.status[row] === 0 && !this.data.forbidden && p.latency[row] !== null) field.times.push(p.latency[row]);
    }
    this.arrange([...fields.values()]);
  }

  // arrange puts the fields in order. Of too many targets those with the most trouble are shown.
  arrange(fields) {
    const names = (side) => new Set(fields.map((field) => field[side]));
    this.side =
      names("client").size > names("target").size
        ? { across: "target", down: "client" }
        : { across: "client", down: "target" };
    this.down = this.worst(fields, this.side.down);
    fields = fields.filter((field) => this.down.kept.has(field[this.side.down]));
    this.across = this.worst(fields, this.side.across);
    this.fields = fields.filter((field) => this.across.kept.has(field[this.side.across]));
    this.say();
  }

  // worst names the pods or nodes of a side: all, or those with the most trouble.
  worst(fields, side) {
    const trouble = new Map();
    for (const field of fields)
      trouble.set(field[side], (trouble.get(field[side]) || 0) + (field.pairs - field.fine) / field.pairs);
    const byName = report.View.collator.compare;
    let names = [...trouble.keys()];
    const hidden = Math.max(0, names.length - report.Matrix.most);
    if (hidden > 0)
      names = names.sort((a, b) => trouble.get(b) - trouble.get(a) || byName(a, b)).slice(0, report.Matrix.most);
    return { names: names.sort(byName), kept: new Set(names), hidden };
  }

  say() {
    const partial = this.fields.filter((field) => field.fine < field.pairs).length;
    const hidden = [this.down, this.across].flatMap(({ hidden }, i) =>
      hidden > 0
        ? [
            `${report.number(hidden)} more ${i === 0 ? this.side.down : this.side.across}s ` +
              "without as much trouble are not shown.",
          ]
        : [],
    );
    const what = (side) => (this.by === "node" ? `nodes of ${side}s` : `${side}s`);
    this.said.textContent = [`Down: ${what(this.side.down)}. Across: ${what(this.side.across)}.`, ...hidden].join(" ");
    this.box.setAttribute(
      "aria-label",
      `Matrix of ${this.down.names.length} ${what(this.side.down)} and ` +
        `${this.across.names.length} ${what(this.side.across)} in ${this.data.title}: ` +
        `${partial} of ${this.fields.length} fields show something else than pairs that are as they should be. ` +
        "The table below has the fields.",
    );
    this.box.style.height = this.down.names.length * 24 + 60 + "px";
    const head = [
      "Client",
      "Target",
      "Pairs",
      "As they should be",
      "Leaks",
      "Did not change",
      "Not proved, deleted or not observed",
      "Median",
    ];
    this.table.replaceChildren(
      report.element(
        "table",
        {},
        report.element(
          "thead",
          {},
          report.element(
            "tr",
            {},
            ...head.map((text, i) => report.element("th", { scope: "col", class: i > 1 && "number" }, text)),
          ),
        ),
        report.element(
          "tbody",
          {},
          ...this.fields.map((field) =>
            report.element(
              "tr",
              {},
              report.element("th", { scope: "row" }, field.client),
              report.element("td", {}, field.target),
              ...[field.pairs, field.fine, field.leaks, field.censored, field.unproved].map((n) =>
                report.element("td", { class: "number" }, report.number(n)),
              ),
              report.element(
                "td",
                { class: "number" },
                field.times.length > 0 ? report.duration(report.Matrix.median(field.times)) : "–",
              ),
            ),
          ),
        ),
      ),
    );
  }

  static median(times) {
    const sorted = [...times].sort((a, b) => a - b);
    return sorted[Math.ceil(sorted.length / 2) - 1];
  }

  static kind(field) {
    if (field.leaks > 0) return "leaking";
    if (field.fine === field.pairs) return "fine";
    if (field.unproved === field.pairs) return "unproved";
    return field.fine > 0 ? "partly" : "never";
  }

  option() {
    const width = this.box.clientWidth;
    const left = Math.min(width < 520 ? 110 : 240, width * 0.35);
    const cell = Math.min(150, (width - left - 16) / Math.max(1, this.across.names.length));
    const label = { color: report.colour("muted"), fontSize: 11, overflow: "truncate" };
    return {
      grid: { left, top: 44, bottom: 8, width: cell * this.across.names.length },
      xAxis: {
        type: "category",
        position: "top",
        data: this.across.names,
        axisTick: { show: false },
        axisLine: { show: false },
        axisLabel: { ...label, interval: 0, width: Math.max(20, cell - 8), overflow: cell > 60 ? "break" : "truncate" },
      },
      yAxis: {
        type: "category",
        inverse: true,
        data: this.down.names,
        axisTick: { show: false },
        axisLine: { show: false },
        axisLabel: { ...label, interval: 0, width: left - 12 },
      },
      series: [
        {
          type: "custom",
          data: this.fields.map((field) => [field[this.side.across], field[this.side.down]]),
          encode: { x: 0, y: 1 },
          clip: true,
          renderItem: (params, api) => this.field(this.fields[params.dataIndex], api),
        },
      ],
    };
  }

  field(field, api) {
    const [x, y] = api.coord([
      this.across.names.indexOf(field[this.side.across]),
      this.down.names.indexOf(field[this.side.down]),
    ]);
    const [width, height] = api.size([1, 1]);
    const kind = report.Matrix.kinds[report.Matrix.kind(field)];
    const partly = field.pairs > 1 && field.fine < field.pairs ? ` ${field.fine}/${field.pairs}` : "";
    const fraction = field.leaks > 0 ? " " + report.number(field.leaks) : partly;
    const time =
      field.times.length > 0 && fraction === "" && width > 84
        ? "  " + report.duration(report.Matrix.median(field.times))
        : "";
    return {
      type: "rect",
      shape: { x: x - width / 2 + 1.5, y: y - height / 2 + 1.5, width: width - 3, height: height - 3, r: 3 },
      style: { fill: report.colour(kind.fill), stroke: report.colour(kind.edge), lineWidth: 1 },
      textContent: {
        style: {
          text: kind.sign + (width > 56 ? fraction + time : ""),
          fill: report.colour(kind.ink),
          fontSize: 11,
          fontWeight: 600,
          fontFamily: report.font(),
        },
      },
      textConfig: { position: "inside" },
    };
  }

  listen(chart) {
    chart.on("mousemove", (event) => report.tip(this.describe(this.fields[event.dataIndex]), event.event.event));
    chart.on("mouseout", () => report.tip(null));
    chart.getZr().on("globalout", () => report.tip(null));
  }

  describe(field) {
    const lines = [`${field.client} to ${field.target}`, `${field.fine} of ${field.pairs} pairs as they should be`];
    if (field.leaks > 0) lines.push(`${report.number(field.leaks)} leaks`);
    if (field.censored > 0) lines.push(`${field.censored} did not change`);
    if (field.unproved > 0) lines.push(`${field.unproved} not proved, deleted or not observed`);
    if (field.times.length > 0) lines.push("median " + report.duration(report.Matrix.median(field.times)));
    return lines.join("\n");
  }
};

// most is how many pods or nodes are shown on a side at the most.
report.Matrix.most = 40;

report.Matrix.kinds = {
  fine: {
    sign: "✓",
    style: "fine",
    fill: "good-soft",
    edge: "good-soft",
    ink: "good",
    text: "all changed",
    forbidden: "stayed blocked",
  },
  partly: {
    sign: "◐",
    style: "partly",
    fill: "warn-soft",
    edge: "warn",
    ink: "warn",
    text: "some changed",
    forbidden: "some stayed blocked",
  },
  never: {
    sign: "▶",
    style: "never",
    fill: "bad-soft",
    edge: "bad",
    ink: "bad",
    text: "none changed",
    forbidden: "not watched to the end",
  },
  leaking: {
    sign: "▲",
    style: "leak",
    fill: "bad-soft",
    edge: "leak",
    ink: "leak",
    text: "leaked",
    forbidden: "leaked (replies)",
  },
  unproved: {
    sign: "✕",
    style: "invalid",
    fill: "sunk",
    edge: "hatch",
    ink: "muted",
    text: "not proved, deleted or not observed",
    forbidden: "not proved, deleted or not observed",
  },
};
