// What is left until an instant (data-countdown), as hours, minutes and seconds; when nothing is left the page is anew.
(() => {
  "use strict";
  const clocks = [...document.querySelectorAll("time[data-countdown]")];
  const two = (number) => String(number).padStart(2, "0");

  const tick = () => {
    for (const clock of clocks) {
      const left = Math.ceil((Date.parse(clock.dateTime) - Date.now()) / 1000);
      if (left <= 0) {
        clearInterval(timer);
        window.location.reload();
        return;
      }
      clock.textContent = `${Math.floor(left / 3600)}:${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`;
    }
  };
  const timer = clocks.some((clock) => Date.parse(clock.dateTime) > Date.now()) ? setInterval(tick, 1000) : 0;
  if (timer) tick();
})();
