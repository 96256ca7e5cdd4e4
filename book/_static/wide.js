/**
 * What is wider than the page scrolls inside its box, and nothing tells a reader so: the box ends where a column may
 * end. This script marks the box for the style sheet, which lets that edge fade, and writes a hint above a table.
 */
(function () {
  const BOXES = ".cell_output .output.text_html, .pst-scrollable-table-container, .table-wrapper, "
    + "mjx-container[display=true]";

  /** Which way there is more to see: "right", "left", "both", or nothing. */
  function more(box) {
    const left = box.scrollLeft > 4;
    const right = box.scrollWidth - box.clientWidth - box.scrollLeft > 4;
    return left && right ? "both" : left ? "left" : right ? "right" : "";
  }

  const known = new Map(); // a box, and its hint if it has one
  function look(box) {
    const way = more(box);
    if (way) box.dataset.more = way;
    else delete box.dataset.more;
    const hint = known.get(box);
    if (hint) hint.hidden = box.scrollWidth - box.clientWidth <= 4;
  }

  function begin() {
    for (const box of document.querySelectorAll(BOXES)) {
      if (known.has(box)) continue;
      let hint = null;
      if (box.querySelector("table")) {
        hint = document.createElement("p");
        hint.className = "wide-hint";
        hint.setAttribute("aria-hidden", "true"); // a screen reader reads all columns anyway
        hint.textContent = "more columns →";
        hint.hidden = true;
        box.before(hint);
      }
      known.set(box, hint);
      box.addEventListener("scroll", () => look(box), { passive: true });
      look(box);
    }
  }

  function again() {
    begin();
    known.forEach((hint, box) => look(box));
  }

  addEventListener("resize", again);
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", again);
  else again();
  addEventListener("load", () => {
    again();
    window.MathJax?.startup?.promise?.then(again);
    document.querySelectorAll("details").forEach((fold) => fold.addEventListener("toggle", again));
    document.addEventListener("click", () => setTimeout(again, 300)); // folded solutions open by a click
  });
})();
