// Build all sections once; afterwards each updates itself.
Object.assign(state, readHash());
mountPicker();
mountImage();
mountHeatmaps();
mountLayers();
mountFilters();
mountProbes();
mountChanges();
mountSimilarity();

function goToSection(behavior = "auto") {
  document.getElementById(state.section)?.scrollIntoView({ behavior });
}
for (const link of document.querySelectorAll("nav.sections a")) {
  link.addEventListener("click", (event) => {
    event.preventDefault(); // the URL holds the whole state, not only the section
    setState({ section: link.hash.slice(1) });
    goToSection();
  });
}
window.addEventListener("hashchange", () => {
  setState(readHash());
  goToSection();
});
goToSection("instant");
