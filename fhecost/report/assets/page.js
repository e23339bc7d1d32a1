// Figures take their colors from the page, on light and on dark paper.
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 600px)");
function paint() {
  const page = getComputedStyle(document.documentElement);
  const ink = page.getPropertyValue("--ink").trim();
  const grid = page.getPropertyValue("--grid").trim();
  const changes = {
    "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "font.color": ink,
    "font.size": narrow.matches ? 10 : 12, "legend.font.size": narrow.matches ? 9 : 12, "modebar.bgcolor": "rgba(0,0,0,0)",
    "modebar.color": grid, "modebar.activecolor": ink,
  };
  for (const axis of ["xaxis", "yaxis"]) {
    changes[axis + ".gridcolor"] = grid;
    changes[axis + ".linecolor"] = grid;
    changes[axis + ".zeroline"] = false;
  }
  for (const figure of document.querySelectorAll(".js-plotly-plot")) {
    Plotly.relayout(figure, changes);
  }
}
dark.addEventListener("change", paint);
narrow.addEventListener("change", paint);
paint();
