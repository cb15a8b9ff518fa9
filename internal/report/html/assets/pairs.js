// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

"use strict";

// The view of a section's pairs: which of them the filters let through, and in which order. The table shows a page of
// it, the timeline and the matrix all of it.
report.View = class {
  constructor(data) {
    this.data = data;
    this.listeners = [];
    this.order = { key: "latency", down: false };
    this.filter = { text: "", kind: "", node: "" };
    this.columns = this.makeColumns();
    this.rows = [];
    this.apply(false);
  }

  text(column, row) {
    return this.data.pairs.texts[this.data.pairs[column][row]];
  }

  // nodes names the node of both pods, or that of the client and that of the target.
  nodes(row) {
    const [client, target] = [this.text("clientNode", row) || "not known", this.text("targetNode", row) || "not known"];
    return client === target ? client : `${client} → ${target}`;
  }

  // name is what tells a row apart from others: the pod of which there are more, and the iteration if there are
  // several.
  name(row) {
    this.namedBy ??= new Set(this.data.pairs.client).size > new Set(this.data.pairs.target).size ? "client" : "target";
    this.iterations ??= new Set(this.data.pairs.iteration).size > 1;
    const iteration = this.iterations ? ` (${this.data.pairs.iteration[row]})` : "";
    return (this.text(this.namedBy, row) || "not known") + iteration;
  }

  // latency is what a pair took, infinite if it did not change, and nothing for others.
  latency(row) {
    const p = this.data.pairs;
    if (p.status[row] === 1) return Infinity;
    return p.latency[row] ?? NaN;
  }

  makeColumns() {
    const p = this.data.pairs;
    const latency = this.data.forbidden ? "First leak" : "Latency";
    const some = (list) => list.some((n) => n > 0);
    const all = [
      { key: "target", name: "Target", value: (row) => this.text("target", row) || "not known" },
      { key: "client", name: "Client", value: (row) => this.text("client", row) || "not known" },
      { key: "nodes", name: "Nodes", value: (row) => this.nodes(row), on: some(p.targetNode) || some(p.clientNode) },
      {
        key: "iteration",
        name: "Iteration",
        number: true,
        value: (row) => p.iteration[row],
        on: new Set(p.iteration).size > 1,
      },
      { key: "status", name: "Status", value: (row) => report.statuses[p.status[row]] },
      {
        key: "latency",
        name: latency,
        number: true,
        value: (row) => this.latency(row),
        show: (row) => this.showLatency(row),
      },
      {
        key: "resolution",
        name: "Bracket",
        number: true,
        value: (row) => p.upper[row] - p.lower[row] || 0,
        show: (row) => this.bracket(row) || "-",
      },
      {
        key: "leaks",
        name: "Leaks",
        number: true,
        value: (row) => p.leaks[row],
        on: this.data.forbidden || some(p.leaks),
      },
      { key: "flaps", name: "Flaps", number: true, value: (row) => p.flaps[row], on: some(p.flaps) },
      { key: "note", name: "Note", value: (row) => this.text("note", row), on: some(p.note) },
    ];
    return all.filter((column) => column.on !== false);
  }

  showLatency(row) {
    const took = this.data.pairs.latency[row];
    if (this.data.pairs.status[row] === 1) return took === null ? "unknown" : ">" + report.duration(took);
    if (took === null) return "-";
    const reached = this.data.pairs.lower[row] === null; // by the first probe
    return (reached ? "≤" : "") + report.duration(took);
  }

  // bracket is where the transition was, without a lower end if the first probe found the new state, and empty without
  // a transition.
  bracket(row) {
    const { lower, upper } = this.data.pairs;
    if (upper[row] === null) return "";
    const from = lower[row] === null ? "up" : report.duration(lower[row]);
    return `${from} to ${report.duration(upper[row])}`;
  }

  // apply filters and sorts anew, and tells whoever shows the pairs.
  apply(tell = true) {
    const words = this.filter.text
      .toLowerCase()
      .split(/\s+/)
      .filter((word) => word !== "");
    const all = this.data.pairs.status.map((_, row) => row);
    this.rows = all.filter((row) => this.matches(row, words));
    const column = this.columns.find((one) => one.key === this.order.key);
    const keys = this.keys(column);
    const sign = this.order.down ? -1 : 1;
    this.rows.sort((a, b) => {
      const [x, y] = [keys[a], keys[b]];
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a - b; // last in any order
      return (x === y ? 0 : sign * (x < y ? -1 : 1)) || a - b;
    });
    if (tell) for (const listener of this.listeners) listener();
  }

  // keys are the numbers by which a column sorts, one for each row. A text's number is its place among the texts of the
  // column: to compare ten thousand texts takes long, and is done once.
  keys(column) {
    if (column.keys) return column.keys;
    const values = this.data.pairs.status.map((_, row) => column.value(row));
    if (column.number) return (column.keys = values);
    const texts = [...new Set(values)].sort(report.View.collator.compare);
    const place = new Map(texts.map((text, i) => [text, i]));
    return (column.keys = values.map((text) => place.get(text)));
  }

  matches(row, words) {
    const { kind, node } = this.filter;
    const p = this.data.pairs;
    if (kind !== "" && !report.View.kinds[kind](p, row)) return false;
    if (node in report.View.places) {
      if (this.text("place", row) !== report.View.places[node]) return false;
    } else if (
      node !== "" &&
      this.text("clientNode", row) !== node.slice(1) &&
      this.text("targetNode", row) !== node.slice(1)
    )
      return false;
    if (words.length === 0) return true;
    const text = ["target", "client", "targetNode", "clientNode", "address", "note"]
      .map((column) => this.text(column, row))
      .join("\n")
      .toLowerCase();
    return words.every((word) => text.includes(word));
  }

  describe(row) {
    const p = this.data.pairs;
    const lines = [
      `${this.text("target", row) || "not known"} ${this.text("address", row)}`,
      `probed by ${this.text("client", row) || "not known"}`,
      ...(p.clientNode[row] > 0 || p.targetNode[row] > 0 ? [this.nodes(row)] : []),
    ];
    const bracket = this.bracket(row);
    lines.push(
      `${report.statuses[p.status[row]]}: ${this.showLatency(row)}` + (bracket === "" ? "" : ` (${bracket})`),
    );
    if (p.leaks[row] > 0) lines.push(`${report.number(p.leaks[row])} leaks`);
    if (p.flaps[row] > 0) lines.push(`${p.flaps[row]} flaps`);
    if (p.note[row] > 0) lines.push(this.text("note", row));
    return lines.join("\n");
  }
};
report.View.collator = new Intl.Collator("en", { numeric: true });
report.View.places = { "=": "same-node", "≠": "cross-node" };
report.View.kinds = {
  measured: (p, row) => p.status[row] === 0,
  censored: (p, row) => p.status[row] === 1,
  invalid: (p, row) => p.status[row] === 2,
  deleted: (p, row) => p.status[row] === 3,
  unobserved: (p, row) => p.status[row] === 4,
  "with leaks": (p, row) => p.leaks[row] > 0,
  "with flaps": (p, row) => p.flaps[row] > 0,
};

// The filters above the charts of a section.
report.Filters = class {
  constructor(parent, data, view) {
    this.view = view;
    this.shown = report.element("span", { class: "shown", role: "status" });
    const search = report.element("input", {
      type: "search",
      oninput: (event) => this.set("text", event.target.value),
    });
    const bar = report.element(
      "div",
      { class: "filters", role: "group", "aria-label": `Filter the pairs of ${data.title}` },
      report.element("label", {}, "Pod or node", search),
      this.select("Status", "kind", this.kinds(data.pairs)),
    );
    const nodes = this.nodes(data.pairs);
    if (nodes.length > 1) bar.append(this.select("Nodes", "node", nodes));
    bar.append(this.shown);
    parent.append(bar);
    view.listeners.push(() => this.say());
    this.say();
  }

  say() {
    const all = this.view.data.pairs.status.length;
    this.shown.textContent = `${report.number(this.view.rows.length)} of ${report.number(all)} pairs`;
  }

  set(what, value) {
    this.view.filter[what] = value;
    this.view.apply();
  }

  select(label, what, options) {
    return report.element(
      "label",
      {},
      label,
      report.element(
        "select",
        { onchange: (event) => this.set(what, event.target.value) },
        ...options.map(([value, text]) => report.element("option", { value }, text)),
      ),
    );
  }

  kinds(p) {
    const options = [["", "all"]];
    for (const [name, holds] of Object.entries(report.View.kinds)) {
      const n = p.status.reduce((sum, _, row) => sum + (holds(p, row) ? 1 : 0), 0);
      if (n > 0) options.push([name, `${name} (${report.number(n)})`]);
    }
    return options;
  }

  nodes(p) {
    const names = [...new Set(p.clientNode.concat(p.targetNode))]
      .filter((n) => n > 0)
      .map((n) => p.texts[n])
      .sort(report.View.collator.compare);
    if (names.length < 2 && new Set(p.place).size < 2) return [];
    return [["", "all"], ...Object.entries(report.View.places), ...names.map((name) => ["@" + name, name])];
  }
};

// The table of pairs, a page at a time.
report.Table = class {
  constructor(parent, data, view) {
    Object.assign(this, { view, page: 0, chosen: -1 });
    this.head = report.element("tr");
    this.body = report.element("tbody");
    this.where = report.element("span", { role: "status" });
    this.buttons = [
      ["First", () => 0],
      ["Previous", () => this.page - 1],
      ["Next", () => this.page + 1],
      ["Last", () => this.last()],
    ].map(([name, to]) => report.element("button", { type: "button", onclick: () => this.turn(to()) }, name));
    parent.append(
      report.element(
        "div",
        { class: "pairs" },
        report.element("h4", {}, "Pairs"),
        report.element(
          "div",
          { class: "scroll", tabindex: "0", role: "group", "aria-label": `Pairs of ${data.title}` },
          report.element("table", {}, report.element("thead", {}, this.head), this.body),
        ),
        report.element(
          "div",
          { class: "pages" },
          this.buttons[0],
          this.buttons[1],
          this.where,
          this.buttons[2],
          this.buttons[3],
        ),
      ),
    );
    this.heads();
    this.fill();
    view.listeners.push(() => {
      this.page = 0;
      this.heads();
      this.fill();
    });
    view.choose = (row) => this.choose(row);
  }

  last() {
    return Math.max(0, Math.ceil(this.view.rows.length / report.Table.size) - 1);
  }

  turn(page) {
    this.page = Math.min(Math.max(page, 0), this.last());
    this.fill();
  }

  // heads makes the heads of the columns, or brings them up to date, so that the one with the focus keeps it.
  heads() {
    const { order, columns } = this.view;
    if (this.head.childElementCount === 0) {
      this.head.append(
        ...columns.map((column) =>
          report.element(
            "th",
            { scope: "col", class: column.number && "number" },
            report.element("button", { type: "button", onclick: () => this.sort(column.key) }),
          ),
        ),
      );
    }
    columns.forEach((column, i) => {
      const head = this.head.children[i];
      const here = column.key === order.key;
      head.firstChild.textContent = column.name + (here ? (order.down ? " ↓" : " ↑") : "");
      if (here) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  }

  sort(key) {
    const { order } = this.view;
    this.view.order = { key, down: order.key === key && !order.down };
    this.view.apply();
  }

  fill() {
    const first = this.page * report.Table.size;
    const rows = this.view.rows.slice(first, first + report.Table.size);
    this.body.replaceChildren(...rows.map((row) => this.line(row)));
    const all = this.view.rows.length;
    this.where.textContent =
      all === 0
        ? "No pair is like that."
        : `${report.number(first + 1)} to ${report.number(first + rows.length)} of ${report.number(all)}`;
    this.buttons[0].disabled = this.buttons[1].disabled = this.page === 0;
    this.buttons[2].disabled = this.buttons[3].disabled = this.page === this.last();
  }

  line(row) {
    const cells = this.view.columns.map((column, i) =>
      report.element(
        i === 0 ? "th" : "td",
        { scope: i === 0 && "row", class: column.number ? "number" : column.key === "note" && "note" },
        String(column.show ? column.show(row) : column.number ? report.number(column.value(row)) : column.value(row)),
      ),
    );
    return report.element("tr", { class: row === this.chosen && "chosen" }, ...cells);
  }

  // choose shows a pair in the table.
  choose(row) {
    this.chosen = row;
    this.turn(Math.floor(this.view.rows.indexOf(row) / report.Table.size));
    this.body.querySelector(".chosen").scrollIntoView({ block: "nearest" });
  }
};
report.Table.size = 10;
