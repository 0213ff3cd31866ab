"use strict";
(() => {
  const data = JSON.parse(document.getElementById("figures").textContent);
  const plots = [...document.querySelectorAll(".plot")];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const PAPER_PX = 680; // between the margins of A4
  const NARROW_PX = 700;
  let printing = false;

  // Figures name their colours; here the names become those of the theme. Texts of a trace are left alone.
  const painted = (value, colours, isColour) => {
    if (typeof value === "string") return isColour && value in colours ? colours[value] : value;
    if (Array.isArray(value)) return isColour || typeof value[0] === "object"
      ? value.map((inner) => painted(inner, colours, isColour)) : value;
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [key, painted(inner, colours, key.includes("color"))]));
  };

  const config = {
    displaylogo: false, responsive: true, showTips: false,
    // where nothing can hover, Plotly would show its buttons always, on top of the legend
    displayModeBar: window.matchMedia("(hover: none)").matches ? false : "hover",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  };

  const draw = (plot) => {
    const colours = data.themes[dark.matches && !printing ? "dark" : "light"];
    const figure = painted(data.figures[plot.dataset.figure], colours, false);
    const width = printing ? PAPER_PX : plot.clientWidth;
    if (printing) Object.assign(figure.layout, { width: PAPER_PX, height: Math.round(0.85 * figure.layout.height) });
    // Entries of a legend stand below each other where there is little room, and the picture makes room for them.
    if (figure.layout.showlegend && width < NARROW_PX) figure.layout.height += (printing ? 6 : 14) * figure.data.length;
    if (figure.data[0].type === "sankey") Plotly.purge(plot); // a change would be a slow one
    plot.dataset.drawn = "";
    return Plotly.react(plot, figure.data, figure.layout, config);
  };
  const redraw = () => plots.filter((plot) => "drawn" in plot.dataset).forEach(draw);

  const show = (button) => {
    const buttons = [...button.parentElement.querySelectorAll("button")];
    for (const each of buttons) {
      const chosen = each === button;
      const plot = document.getElementById("plot-" + each.dataset.shows);
      each.setAttribute("aria-pressed", String(chosen));
      plot.hidden = !chosen;
      if (chosen && !("drawn" in plot.dataset)) draw(plot);
      else if (chosen) Plotly.Plots.resize(plot);
    }
  };

  for (const button of document.querySelectorAll(".choice button")) {
    button.addEventListener("click", () => show(button));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const all = [...button.parentElement.querySelectorAll("button")];
      const next = all[(all.indexOf(button) + step + all.length) % all.length];
      next.focus();
      show(next);
      event.preventDefault();
    });
  }

  const follow = () => {
    const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        links.forEach((link) => link.removeAttribute("aria-current"));
        links.get(entry.target.id)?.setAttribute("aria-current", "true");
      }
    }, { rootMargin: "-10% 0px -75% 0px" });
    document.querySelectorAll("main > section").forEach((section) => seen.observe(section));
  };

  const paper = (now) => {
    printing = now;
    for (const details of document.querySelectorAll("details")) {
      if (now && !details.open) { details.dataset.closed = ""; details.open = true; }
      else if (!now && "closed" in details.dataset) { details.open = false; delete details.dataset.closed; }
    }
    redraw();
  };

  const inflate = async (id) => {
    const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  };

  const begin = async () => {
    const script = document.createElement("script");
    script.textContent = await inflate("plotly");
    document.head.append(script);
    for (const plot of plots) {
      if (!plot.hidden) {
        await draw(plot);
        await new Promise((done) => setTimeout(done)); // the page stays alive between two pictures
      }
    }
    dark.addEventListener("change", redraw);
    addEventListener("beforeprint", () => paper(true));
    addEventListener("afterprint", () => paper(false));
    document.documentElement.dataset.ready = "";
  };

  follow();
  begin().catch((error) => {
    const notice = document.getElementById("trouble");
    notice.textContent = "The pictures could not be drawn (" + error.message +
      "). They need a browser of 2023 or later. Every number is in the tables.";
    notice.hidden = false;
    plots.forEach((plot) => plot.remove());
  });
})();
