// Put the parts together once; afterwards every part looks after itself.
Object.assign(state, recall());
mountPicker();
mountPhoto();
mountClasses();
mountLayers();
mountFilters();
mountDepth();
mountChanges();
mountImages();

function goToSection(behavior = "auto") {
  document.getElementById(state.section)?.scrollIntoView({ behavior });
}
for (const link of document.querySelectorAll("nav.sections a")) {
  link.addEventListener("click", (event) => {
    event.preventDefault(); // the address holds the whole state, not only the section
    set({ section: link.hash.slice(1) });
    goToSection();
  });
}
window.addEventListener("hashchange", () => {
  set(recall());
  goToSection();
});
goToSection("instant");
