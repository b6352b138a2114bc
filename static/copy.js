// Buttons that copy what another element holds (data-copy is its id). Where the browser lets no script copy, as on a
// page without encryption, the text is selected and Ctrl-C does it.
(() => {
  "use strict";
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    if (source.select) source.select();
    else window.getSelection().selectAllChildren(source);
    if (!navigator.clipboard) return;
    try {
      await navigator.clipboard.writeText(source.value ?? source.textContent);
      button.textContent = button.dataset.done;
    } catch {
      // Refused: it stays selected.
    }
  });
})();
