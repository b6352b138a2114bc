// Keys of the frame: "/" or Ctrl-K or Cmd-K go to the search box, arrows walk its results, Escape closes what is open.
(() => {
  "use strict";
  const box = document.getElementById("search");
  const found = document.getElementById("found");

  const isTyping = (target) => target.matches("input, textarea, select, [contenteditable]");
  const close = () => {
    if (found) found.replaceChildren();
    document.querySelectorAll("details.menu[open]").forEach((menu) => menu.removeAttribute("open"));
  };

  document.addEventListener("keydown", (event) => {
    const isShortcut = (event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k";
    if (box && (isShortcut || (event.key === "/" && !isTyping(event.target)))) {
      event.preventDefault();
      box.focus();
      box.select();
    } else if (event.key === "Escape") {
      close();
    } else if (found && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      walk(event);
    }
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".search")) found && found.replaceChildren();
    document.querySelectorAll("details.menu[open]").forEach((menu) => {
      if (!menu.contains(event.target)) menu.removeAttribute("open");
    });
  });

  function walk(event) {
    const links = [...found.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    if (!links.length || (at < 0 && document.activeElement !== box)) return;
    event.preventDefault();
    const next = at + (event.key === "ArrowDown" ? 1 : -1);
    (next < 0 ? box : links[Math.min(next, links.length - 1)]).focus();
  }
})();
