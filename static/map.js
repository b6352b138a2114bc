// The device map: the pointer or the arrow keys pick a cell, a hint says what it is, click or Enter opens it.
// Where a cell stands for many devices there is no single device to name, and the pool's list opens instead.
(() => {
  "use strict";
  const STEP = 10;
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "status");
  document.body.append(tip);
  let timer = 0;
  let shown = "";

  document.querySelectorAll("[data-map] .grid").forEach((grid) => {
    const cursor = grid.querySelector(".cursor");
    const svg = grid.querySelector("svg");
    const count = Number(grid.dataset.count);
    const columns = Number(grid.dataset.columns);
    let at = 0;

    const pick = (number) => {
      at = Math.max(0, Math.min(count - 1, number));
      cursor.setAttribute("x", String((at % columns) * STEP - 1));
      cursor.setAttribute("y", String(Math.floor(at / columns) * STEP));
      if (!grid.dataset.cell) return;
      clearTimeout(timer);
      timer = setTimeout(() => explain(grid.dataset.cell + at + "/", cursor), 90);
    };
    const numberAt = (event) => {
      const box = svg.getBoundingClientRect();
      const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
      const row = Math.floor((event.clientY - box.top) / (box.width / columns));
      const number = row * columns + Math.min(column, columns - 1);
      return number >= 0 && number < count ? number : -1;
    };
    const address = () => (grid.dataset.cell ? grid.dataset.cell + at + "/" : grid.dataset.list);
    const moves = {
      ArrowRight: () => at + 1,
      ArrowLeft: () => at - 1,
      ArrowDown: () => (at + columns < count ? at + columns : at),
      ArrowUp: () => (at >= columns ? at - columns : at),
      Home: () => 0,
      End: () => count - 1,
    };

    grid.addEventListener("pointermove", (event) => {
      const number = numberAt(event);
      if (number < 0) return hide();
      if (number !== at || tip.hidden) pick(number);
    });
    grid.addEventListener("pointerleave", hide);
    grid.addEventListener("blur", hide);
    grid.addEventListener("focus", () => pick(at));
    grid.addEventListener("click", (event) => {
      const number = numberAt(event);
      if (number < 0) return;
      at = number;
      if (event.ctrlKey || event.metaKey) window.open(address(), "_blank", "noopener");
      else window.location.assign(address());
    });
    grid.addEventListener("keydown", (event) => {
      if (event.key === "Enter") window.location.assign(address());
      else if (event.key === "Escape") hide();
      else if (moves[event.key]) {
        event.preventDefault();
        pick(moves[event.key]());
      }
    });
  });

  function hide() {
    clearTimeout(timer);
    shown = "";
    tip.hidden = true;
  }

  async function explain(address, cursor) {
    shown = address;
    let words = "";
    try {
      const answer = await fetch(address, { headers: { "X-Fragment": "cell" }, redirect: "error" });
      if (!answer.ok) return;
      words = await answer.text();
    } catch {
      return;
    }
    if (shown !== address) return;
    const parsed = new DOMParser().parseFromString(words, "text/html");
    tip.replaceChildren(...parsed.body.childNodes);
    tip.hidden = false;
    const cell = cursor.getBoundingClientRect();
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(cell.left, window.innerWidth - box.width - 8))}px`;
    tip.style.top = `${cell.top > box.height + 16 ? cell.top - box.height - 8 : cell.bottom + 8}px`;
  }
})();
