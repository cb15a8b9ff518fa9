// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

"use strict";

// Two shapes of ECharts' that draw thousands of rectangles or marks as one path: ten thousand pairs are a handful of
// shapes, not ten thousand times as many.
echarts.graphic.registerShape(
  "rectangles",
  echarts.graphic.extendShape({
    shape: { list: null },
    buildPath(path, shape) {
      const list = shape.list || [];
      for (let i = 0; i < list.length; i += 4) path.rect(list[i], list[i + 1], list[i + 2], list[i + 3]);
    },
  }),
);
echarts.graphic.registerShape(
  "marks",
  echarts.graphic.extendShape({
    shape: { list: null, kind: "", size: 4 },
    buildPath(path, shape) {
      const list = shape.list || [];
      const s = shape.size;
      for (let i = 0; i < list.length; i += 2) report.Timeline.outline[shape.kind](path, list[i], list[i + 1], s);
    },
  }),
);

// The timeline: a line for each pair that the filters let through, in the order of the table. Time runs from the
// trigger to the right.
report.Timeline = class {
  constructor(parent, data, view) {
    Object.assign(this, { data, view });
    const p = data.pairs;
    this.ends = p.end.concat(p.upper).filter((v) => v !== null);
    this.logarithmic =
      !data.forbidden &&
      report.spread(p.upper.concat(p.end.filter((_, i) => p.status[i] === 1)).filter((v) => v !== null));
    this.positive = Math.max(
      0.05,
      report.least(
        p.upper.concat(p.lower).filter((v) => v > 0),
        1e9,
      ) * 0.6,
    );
    this.high = this.horizon();
    this.box = report.element("div", { class: "timeline-box", role: "img" });
    this.said = report.element("p", { class: "muted" });
    const scale = report.element(
      "label",
      {},
      report.element("input", {
        type: "checkbox",
        checked: this.logarithmic,
        onchange: (event) => this.scale(event.target.checked),
      }),
      "logarithmic time",
    );
    parent.append(
      report.element(
        "figure",
        { class: "drawn" },
        report.element("figcaption", {}, report.element("h4", {}, "Every pair from the trigger on"), this.said),
        report.element("div", { class: "above" }, this.legend(), report.element("div", { class: "switches" }, scale)),
        this.box,
      ),
    );
    this.fit();
    this.chart = new report.Chart(
      this.box,
      (chart) => this.option(chart),
      (chart) => this.listen(chart),
    );
    view.listeners.push(() => {
      this.fit();
      this.chart.draw();
    });
  }

  // horizon is the end of the axis: the last transition and a while more, or the end of what was watched in vain.
  horizon() {
    const p = this.data.pairs;
    let last = 0;
    for (let i = 0; i < p.status.length; i++) {
      const watched = this.data.forbidden || p.status[i] === 1 ? p.end[i] : 0;
      last = Math.max(last, p.upper[i] ?? 0, watched ?? 0, ...(p.changes[i] || []).map((change) => change[2]));
    }
    return (last || report.most(this.ends, 1)) * 1.15;
  }

  scale(logarithmic) {
    this.logarithmic = logarithmic;
    this.chart.draw();
  }

  legend() {
    const p = this.data.pairs;
    const kinds = [
      ["key allowed", "", "allowed"],
      ["key blocked", "", "blocked"],
      ["key bracket", "", this.data.forbidden ? "first leak within (the bracket)" : "changed within (the bracket)"],
    ];
    if (!p.upper.some((v) => v !== null)) kinds.pop();
    if (p.leaks.some((n) => n > 0) && !this.data.keeps) kinds.push(["glyph leak", "▲", "first leak"]);
    if (p.flaps.some((n) => n > 0)) kinds.push(["glyph flap", "◆", "flap"]);
    if (p.status.includes(1)) kinds.push(["glyph censored", "▶", "did not change"]);
    if (p.status.includes(2)) kinds.push(["glyph invalid", "✕", "old state not proved"]);
    if (p.status.includes(3)) kinds.push(["glyph invalid", "●", "target deleted"]);
    if (p.status.includes(4)) kinds.push(["key unknown", "", "not observed"]);
    return report.element(
      "ul",
      { class: "legend" },
      ...kinds.map(([style, sign, text]) =>
        report.element("li", {}, report.element("span", { class: style, "aria-hidden": "true" }, sign), text),
      ),
    );
  }

  // fit makes the box as high as the rows need, and says in words what is in it.
  fit() {
    const rows = this.view.rows.length;
    this.rowHeight = rows > 0 ? Math.min(16, Math.max(480 / rows, 0.04)) : 16;
    this.box.style.height = Math.max(110, Math.min(rows * this.rowHeight, 480) + 52) + "px";
    const all = this.data.pairs.status.length;
    this.said.textContent = `${report.number(rows)} of ${report.number(all)} pairs, in the order of the table below.`;
    this.box.setAttribute(
      "aria-label",
      `Timeline of ${report.number(rows)} pairs in ${this.data.title}, a line for each, from the ` +
        "trigger until it changed. The table of pairs has the values.",
    );
  }

  // layers sorts what is to be drawn of all rows into shapes.
  layers(x, y, height) {
    const layers = {
      allowed: [],
      blocked: [],
      bracket: [],
      unknown: [],
      leak: [],
      flap: [],
      censored: [],
      invalid: [],
      deleted: [],
    };
    this.view.rows.forEach((row, position) => {
      const top = y(position);
      const thick = Math.max(height * 0.74, Math.min(height, 0.6));
      const box = (layer, from, to) => {
        const left = x(from);
        if (to > from)
          layers[layer].push(
            left,
            top + (height - thick) / 2,
            Math.max(x(to) - left, layer === "bracket" ? 1.5 : 0),
            thick,
          );
      };
      this.row(row, box, (layer, time) => layers[layer].push(x(time), top + height / 2));
    });
    return layers;
  }

  // row draws one pair: its states one after the other, and its marks.
  row(row, box, mark) {
    const p = this.data.pairs;
    const end = Math.min(p.end[row] ?? this.high, this.high);
    if (p.status[row] === 2 || p.status[row] === 4) {
      box("unknown", 0, this.high); // whatever it did says nothing
      if (p.status[row] === 2) mark("invalid", 0);
      return;
    }
    const changes = (p.changes[row] || [])
      .filter((change) => change[2] !== null)
      .map(([to, lower, upper]) => ({ to: to === 1, lower, upper, flap: p.flaps[row] > 0 }));
    if (p.upper[row] !== null)
      changes.push({
        to: this.data.forbidden || this.data.want === "allowed",
        lower: p.lower[row],
        upper: p.upper[row],
        leak: this.data.forbidden,
      });
    changes.sort((a, b) => a.upper - b.upper);
    let state = this.data.keeps || (this.data.forbidden || this.data.want === "allowed" ? "blocked" : "allowed");
    let since = Math.min(0, changes.length > 0 ? changes[0].upper : 0);
    for (const change of changes) {
      const from = Math.max(change.lower ?? change.upper, since);
      box(state, since, from);
      box("bracket", from, change.upper);
      [state, since] = [change.to ? "allowed" : "blocked", change.upper];
    }
    if (this.data.forbidden && !this.data.keeps && changes.length === 1) state = "blocked"; // it is not known for how long it leaked
    box(state, since, end);
    for (const change of changes) if (change.flap) mark("flap", change.upper);
    if (p.leaks[row] > 0 && !this.data.keeps) mark("leak", p.upper[row] ?? 0);
    if (p.status[row] === 1) mark("censored", end);
    if (p.status[row] === 3) mark("deleted", end);
  }

  option() {
    const low = this.logarithmic ? this.positive : report.least(this.data.pairs.upper, 0);
    const named = this.rowHeight >= 12;
    const narrow = this.box.clientWidth < 520;
    const short = (name) => (narrow && name.length > 13 ? "…" + name.slice(-12) : name); // the end tells pods apart
    const names = this.view.rows.map((row) => short(this.view.name(row)));
    return {
      grid: { left: named ? (narrow ? 96 : 190) : 16, right: 18, top: 4, bottom: 44 },
      xAxis: report.timeAxis(this.logarithmic, low, this.high),
      yAxis: {
        type: "category",
        inverse: true,
        data: names,
        axisTick: { show: false },
        axisLine: { show: false },
        axisLabel: {
          show: named,
          interval: 0,
          color: report.colour("muted"),
          fontSize: 11,
          width: narrow ? 86 : 178,
          overflow: "truncate",
        },
      },
      series: [
        {
          type: "custom",
          data: names.length > 0 ? [[low, 0]] : [],
          clip: true,
          silent: true,
          renderItem: (params, api) => this.render(params, api, low),
        },
      ],
    };
  }

  // abscissa is the axis of time as a function from milliseconds to pixels. Asking the chart for each of the bounds of
  // ten thousand pairs would take longer than to draw them.
  abscissa(api, low) {
    const along = this.logarithmic ? Math.log : (time) => time;
    const [left, right] = [low, this.high].map((time) => api.coord([time, 0])[0]);
    const begin = along(low);
    const scale = (right - left) / (along(this.high) - begin);
    return (time) => left + (along(Math.min(Math.max(time, low), this.high)) - begin) * scale;
  }

  render(params, api, low) {
    const height = params.coordSys.height / this.view.rows.length;
    const layers = this.layers(this.abscissa(api, low), (position) => params.coordSys.y + position * height, height);
    const area = (layer, fill) => ({ type: "rectangles", shape: { list: layers[layer] }, style: { fill } });
    const size = Math.max(3, Math.min(5.5, height * 0.5));
    const marks = (layer, colour) => ({
      type: "marks",
      shape: { list: layers[layer], kind: layer, size },
      style: { fill: report.colour(colour), stroke: report.colour("card"), lineWidth: height < 6 ? 0 : 1 },
    });
    return {
      type: "group",
      children: [
        area("unknown", report.colour("sunk")),
        area("blocked", this.hatch()),
        area("allowed", report.colour("allowed")),
        area("bracket", report.colour("bracket")),
        marks("deleted", "muted"),
        marks("invalid", "muted"),
        marks("flap", "flap"),
        marks("censored", "bad"),
        marks("leak", "leak"),
      ],
    };
  }

  // hatch is the pattern of what is blocked.
  hatch() {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 12;
    const pen = tile.getContext("2d");
    pen.fillStyle = report.colour("blocked");
    pen.fillRect(0, 0, 12, 12);
    pen.strokeStyle = report.colour("hatch");
    pen.lineWidth = 2;
    for (const offset of [-12, 0, 12]) {
      pen.beginPath();
      pen.moveTo(offset - 2, 14);
      pen.lineTo(offset + 14, -2);
      pen.stroke();
    }
    return { type: "pattern", image: tile, repeat: "repeat", scaleX: 0.5, scaleY: 0.5 };
  }

  // listen tells about the row under the pointer, and shows it in the table when it is clicked.
  listen(chart) {
    const row = (event) => {
      const at = [event.offsetX, event.offsetY];
      if (!chart.containPixel("grid", at)) return null;
      return this.view.rows[chart.convertFromPixel({ gridIndex: 0 }, at)[1]] ?? null;
    };
    chart.getZr().on("mousemove", (event) => {
      const under = row(event);
      report.tip(under === null ? null : this.view.describe(under), event.event);
    });
    chart.getZr().on("globalout", () => report.tip(null));
    chart.getZr().on("click", (event) => {
      const under = row(event);
      if (under !== null) this.view.choose(under);
    });
  }
};

// The outlines of the marks: each fault has a shape of its own.
report.Timeline.outline = {
  leak(path, x, y, s) {
    path.moveTo(x, y - s);
    path.lineTo(x + s, y + s);
    path.lineTo(x - s, y + s);
    path.closePath();
  },
  flap(path, x, y, s) {
    path.moveTo(x, y - s);
    path.lineTo(x + s, y);
    path.lineTo(x, y + s);
    path.lineTo(x - s, y);
    path.closePath();
  },
  censored(path, x, y, s) {
    path.moveTo(x - s, y - s);
    path.lineTo(x + s, y);
    path.lineTo(x - s, y + s);
    path.closePath();
  },
  deleted(path, x, y, s) {
    path.moveTo(x + s, y);
    path.arc(x, y, s, 0, 2 * Math.PI);
    path.closePath();
  },
  invalid(path, x, y, s) {
    const t = s * 0.35;
    for (const [dx, dy] of [
      [-s, -s + t],
      [-s + t, -s],
      [0, -t],
      [s - t, -s],
      [s, -s + t],
      [t, 0],
      [s, s - t],
      [s - t, s],
      [0, t],
      [-s + t, s],
      [-s, s - t],
      [-t, 0],
    ]) {
      if (dx === -s && dy === -s + t) path.moveTo(x + dx + s, y + dy);
      else path.lineTo(x + dx + s, y + dy);
    }
    path.closePath();
  },
};
