/**
 * Names for the sliders of the widgets. As they come, a screen reader finds no name on their handles, and is told
 * the number of a value instead of the value. Both are on the page, beside the slider: this script takes them there.
 */
(function () {
  /** Name and value of a slider, as it shows them; what did not change is not written, for that would be observed. */
  function announce(slider) {
    const text = (part) => slider.querySelector(part)?.textContent.trim() ?? "";
    const handles = slider.querySelectorAll("[role=slider]");
    const wanted = { "aria-label": text(".widget-label") || "slider", "aria-valuetext": text(".widget-readout") };
    for (const handle of handles) {
      for (const [name, value] of Object.entries(wanted)) {
        if (value && handle.getAttribute(name) !== value) handle.setAttribute(name, value);
      }
    }
  }

  /** A slider is followed from when it is first seen: its own script writes the number again at each move. */
  const followed = new WeakSet();
  function follow() {
    for (const slider of document.querySelectorAll(".widget-slider")) {
      if (followed.has(slider)) continue;
      followed.add(slider);
      announce(slider);
      new MutationObserver(() => announce(slider)).observe(slider, {
        subtree: true, childList: true, characterData: true, attributeFilter: ["aria-valuetext", "role"],
      });
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    if (!document.querySelector('script[type="application/vnd.jupyter.widget-view+json"]')) return;
    follow();
    new MutationObserver(follow).observe(document.body, { subtree: true, childList: true });
  });
})();
