"use strict";
// Charts and tables of a crossbook report. Nothing is fetched: the data stand in this very page.
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const plots = [];
  let zooming = false;
  const ends = data.charts.filter((chart) => chart.x.length).map((chart) => [chart.x[0], chart.x[chart.x.length - 1]]);
  const whole = { min: Math.min(...ends.map((end) => end[0])), max: Math.max(...ends.map((end) => end[1])) };

  const plain = (value) => value == null ? "–" : value.toLocaleString("en-US", { maximumFractionDigits: Math.abs(value) >= 1000 ? 0 : 4 });
  const axis = (extra) => Object.assign({
    stroke: () => css("--soft"), grid: { stroke: () => css("--line"), width: 1 }, ticks: { stroke: () => css("--line"), width: 1 },
    font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif",
  }, extra);

  // Round UTC times: clock times, and the date where a day begins.
  function instants(u, ticks, index, space, step) {
    return ticks.map((ts) => {
      const text = new Date(ts).toISOString();
      if (step >= 86400000) return text.slice(0, 10);
      if (ts % 86400000 === 0) return text.slice(5, 10);
      return text.slice(11, step >= 60000 ? 16 : step >= 1000 ? 19 : 23);
    });
  }

  // A little air around the values; a line that never moves still has a height to lie in.
  function span(u, low, high) {
    if (low == null) return [-1, 1];
    return low === high ? [low - 1, high + 1] : uPlot.rangeNum(low, high, 0.05, true);
  }

  function marks(trips) {
    return (u) => {
      const c = u.ctx, px = devicePixelRatio || 1;
      const size = (trips.length > 600 ? 3 : trips.length > 100 ? 4 : 5) * px;
      const [from, to] = [u.scales.x.min, u.scales.x.max];
      c.save();
      c.beginPath();
      c.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
      c.clip();
      for (const [entry, exit, entryBps, exitBps, sellA, won] of trips) {
        if (exit < from || entry > to) continue;
        const x0 = u.valToPos(entry, "x", true), y0 = u.valToPos(entryBps, "y", true);
        const x1 = u.valToPos(exit, "x", true), y1 = u.valToPos(exitBps, "y", true);
        c.strokeStyle = c.fillStyle = css(won ? "--good" : "--bad");
        c.globalAlpha = 0.5;
        c.lineWidth = px;
        c.beginPath(); c.moveTo(x0, y0); c.lineTo(x1, y1); c.stroke();
        c.globalAlpha = 1;
        const tip = sellA ? size : -size;
        c.beginPath(); c.moveTo(x0, y0 + tip); c.lineTo(x0 - size, y0 - tip); c.lineTo(x0 + size, y0 - tip); c.fill();
        c.beginPath(); c.arc(x1, y1, size * 0.8, 0, 2 * Math.PI); c.fill();
      }
      c.restore();
    };
  }

  function draw(chart) {
    const at = document.getElementById(chart.id);
    if (!at) return;
    if (!chart.x.length) {
      at.textContent = "nothing was sampled";
      return;
    }
    const options = {
      width: at.clientWidth || 1200, height: chart.height, ms: 1,
      tzDate: (ts) => uPlot.tzDate(new Date(ts), "Etc/UTC"),
      cursor: { sync: { key: "crossbook" }, drag: { x: true, y: false } },
      scales: { x: { time: true, min: whole.min, max: whole.max }, y: { range: span } },
      axes: [axis({ values: instants, space: 70 }), axis({ size: 92, space: 30, label: chart.unit, labelSize: 20, values: (u, ticks) => ticks.map(plain) })],
      series: [{ value: (u, ts) => ts == null ? "–" : new Date(ts).toISOString().replace("T", " ").replace("Z", " UTC") }].concat(
        chart.lines.map((line) => ({
          label: line.label, stroke: line.colour, width: line.width || 1.25, spanGaps: false, points: { show: chart.x.length < 40 },
          fill: line.fill, value: (u, value) => plain(value),
        }))),
      hooks: {
        draw: chart.trips ? [marks(chart.trips)] : [],
        setScale: [(u, key) => {
          if (key !== "x" || zooming) return;
          zooming = true;
          for (const other of plots) {
            if (other !== u) other.setScale("x", { min: u.scales.x.min, max: u.scales.x.max });
          }
          zooming = false;
        }],
      },
    };
    const plot = new uPlot(options, [chart.x].concat(chart.lines.map((line) => line.y)), at);
    plots.push(plot);
  }

  data.charts.forEach(draw);
  document.body.dataset.charts = plots.length;
  const reset = document.getElementById("reset");
  if (reset) reset.addEventListener("click", () => plots.forEach((plot) => plot.setScale("x", whole)));
  addEventListener("resize", () => plots.forEach((plot) => plot.setSize({ width: plot.root.parentNode.clientWidth, height: plot.height })));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach((plot) => plot.redraw(false, true)));

  // A click on a heading sorts by it; numbers come from data-v, words from the text.
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.addEventListener("click", () => {
      const down = head.classList.contains("up");
      heads.forEach((other) => other.classList.remove("up", "down"));
      head.classList.add(down ? "down" : "up");
      const key = (row) => row.cells[column].dataset.v === undefined ? row.cells[column].textContent : Number(row.cells[column].dataset.v);
      const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    }));
  }
})();
