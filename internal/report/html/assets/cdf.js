// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

"use strict";

// The distribution of the latencies: a line for the estimates, in a band between the lower and the upper ends of the
// brackets.
report.Distribution = class {
  constructor(figure, data) {
    this.data = data;
    this.shown = new Set([data.curves[0].name]);
    const ends = data.curves[0].early.concat(data.curves[0].late).map((point) => point[0]);
    this.logarithmic = report.spread(ends);
    this.low = report.least(ends, 0);
    this.high = report.most(ends, 0.001) * 1.04;
    this.positive = Math.max(
      0.05,
      report.least(
        ends.filter((end) => end > 0),
        this.high / 2,
      ) * 0.8,
    );
    if (data.curves[0].late.length === 0) {
      figure.append(report.element("p", { class: "muted" }, "No pair changed in the time that it was watched."));
      return;
    }
    const box = report.element("div", { class: "box", role: "img", "aria-label": this.description() });
    figure.append(this.switches(), box);
    this.chart = new report.Chart(box, () => this.option());
  }

  description() {
    const [all] = this.data.curves;
    const at = (fraction) => all.estimate.find((point) => point[1] >= fraction);
    const said = [
      [0.5, "half"],
      [0.9, "nine in ten"],
      [1, "all"],
    ].map(([fraction, name]) => {
      const point = at(fraction);
      return point ? `${name} after ${report.duration(point[0])}` : `${name} not in the time that is known`;
    });
    return (
      `Distribution of the latencies of ${report.number(all.pairs)} pairs in ${this.data.title}. ` +
      `Changed: ${said.join(", ")}. ` +
      "The table of percentiles has the values."
    );
  }

  switches() {
    const row = report.element("div", { class: "switches" });
    for (const curve of this.data.curves) {
      if (this.data.curves.length === 1) break;
      const name = curve.name;
      row.append(
        report.element(
          "label",
          {},
          report.element("input", {
            type: "checkbox",
            checked: this.shown.has(name),
            onchange: (event) => this.toggle(name, event.target.checked),
          }),
          report.element("span", { class: "swatch " + report.Distribution.style(name).key, "aria-hidden": "true" }),
          `${name} (${report.number(curve.pairs)})`,
        ),
      );
    }
    row.append(
      report.element(
        "label",
        {},
        report.element("input", {
          type: "checkbox",
          checked: this.logarithmic,
          onchange: (event) => this.scale(event.target.checked),
        }),
        "logarithmic time",
      ),
    );
    return row;
  }

  toggle(name, on) {
    if (on) this.shown.add(name);
    else this.shown.delete(name);
    this.chart?.draw();
  }

  scale(logarithmic) {
    this.logarithmic = logarithmic;
    this.chart?.draw();
  }

  static style(name) {
    return (
      {
        "same-node": { key: "same", colour: report.colour("same"), type: "dashed" },
        "cross-node": { key: "other", colour: report.colour("other"), type: "dotted" },
      }[name] || { key: "all", colour: report.colour("allowed"), type: "solid" }
    );
  }

  option() {
    const low = this.logarithmic ? this.positive : this.low;
    const series = [];
    for (const curve of this.data.curves) {
      if (!this.shown.has(curve.name)) continue;
      const style = report.Distribution.style(curve.name);
      series.push(this.band(curve, style, low), this.line(curve, style, low));
    }
    return {
      grid: { left: 52, right: 16, top: 14, bottom: 44 },
      xAxis: report.timeAxis(this.logarithmic, low, this.high),
      yAxis: {
        type: "value",
        min: 0,
        max: 1,
        interval: 0.25,
        axisLabel: {
          color: report.colour("muted"),
          fontSize: 12,
          formatter: (fraction) => Math.round(fraction * 100) + " %",
        },
        splitLine: { lineStyle: { color: report.colour("line") } },
      },
      tooltip: {
        trigger: "axis",
        renderMode: "richText",
        confine: true,
        borderWidth: 0,
        padding: [6, 10],
        backgroundColor: report.colour("text"),
        textStyle: { color: report.colour("card"), fontSize: 12 },
        axisPointer: { type: "line", lineStyle: { color: report.colour("hatch") } },
        formatter: (points) => this.say(points),
      },
      series,
    };
  }

  say(points) {
    const lines = points
      .filter((point) => point.seriesType === "line")
      .map((point) => {
        const curve = this.data.curves.find((one) => one.name === point.seriesName);
        const percent = (steps) => Math.round(100 * report.Distribution.at(steps, point.value[0]));
        return (
          `${point.seriesName}: ${percent(curve.estimate)} % (${percent(curve.late)} to ${percent(curve.early)} %) after ` +
          report.duration(point.value[0])
        );
      });
    return lines.join("\n");
  }

  // at is the fraction that steps have reached by some time.
  static at(steps, time) {
    let fraction = 0;
    for (const [when, reached] of steps) {
      if (when > time) break;
      fraction = reached;
    }
    return fraction;
  }

  line(curve, style, low) {
    const points = curve.estimate.map(([time, fraction]) => [Math.max(time, low), fraction]);
    const complete = points.length > 0 && points[points.length - 1][1] === 1;
    if (complete) points.push([this.high, 1]);
    return {
      type: "line",
      name: curve.name,
      step: "end",
      symbol: "none",
      data: points.length > 0 ? [[points[0][0], 0], ...points] : [],
      lineStyle: { color: style.colour, width: 2, type: style.type },
      itemStyle: { color: style.colour },
      emphasis: { disabled: true },
      z: 3,
    };
  }

  // band is one polygon: along the early steps, and back along the late ones.
  band(curve, style, low) {
    return {
      type: "custom",
      name: curve.name + " (band)",
      data: [[low, 0]],
      silent: true,
      clip: true,
      z: 2,
      tooltip: { show: false },
      renderItem: (_, api) => {
        const corners = (steps) => {
          const all = [];
          let before = 0;
          for (const [time, fraction] of steps) {
            all.push(api.coord([Math.max(time, low), before]), api.coord([Math.max(time, low), fraction]));
            before = fraction;
          }
          all.push(api.coord([this.high, before]));
          return all;
        };
        return {
          type: "polygon",
          shape: { points: corners(curve.early).concat(corners(curve.late).reverse()) },
          style: { fill: style.colour, opacity: 0.2 },
        };
      },
    };
  }
};
