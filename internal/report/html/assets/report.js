// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

"use strict";

// What is run when the document is there.
report.start = () => {
  for (const section of document.querySelectorAll(".scenario")) {
    const data = JSON.parse(document.getElementById(section.id + "-data").textContent);
    const figure = section.querySelector("[data-cdf]");
    if (figure !== null) new report.Distribution(figure, data);
    const parent = section.querySelector("[data-pairs]");
    const view = new report.View(data);
    new report.Filters(parent, data, view);
    const views = report.element("div", { class: "views" });
    parent.append(views);
    new report.Timeline(views, data, view);
    new report.Table(views, data, view);
    new report.Matrix(views, data, view);
  }
  report.theme.start();
  if (window.matchMedia("(max-width: 66rem)").matches) document.getElementById("contents").open = false;
  document.documentElement.dataset.opened = performance.now().toFixed(0); // milliseconds since the file was asked for
  document.documentElement.dataset.ready = "true";
};

report.start();
