/** Starts the slides, and draws each a little larger or smaller, as it fills the screen. */
(function () {
  const LARGEST = 1.2;
  const SMALLEST = 0.5;
  const STEP = 0.05;

  function fits(slide, room) {
    return slide.scrollHeight <= room
      && [...slide.querySelectorAll("pre, .jp-OutputArea-output")].every((box) => box.scrollWidth <= box.clientWidth + 1);
  }

  function fit(slide) {
    if (!slide) return;
    const room = Reveal.getConfig().height;
    for (const picture of slide.querySelectorAll("figure > img")) {
      picture.parentElement.classList.toggle("tall", picture.naturalHeight > 1.15 * picture.naturalWidth);
    }
    for (let scale = LARGEST; ; scale -= STEP) {
      slide.style.setProperty("--scale", scale.toFixed(2));
      if (fits(slide, room) || scale - STEP < SMALLEST) break;
    }
  }

  function fitCurrent() {
    fit(Reveal.getCurrentSlide());
  }

  Reveal.initialize({
    width: 1280, height: 720, margin: 0, center: false,
    controls: true, progress: true, hash: true, slideNumber: "c/t", transition: "none",
  }).then(fitCurrent);
  Reveal.on("slidechanged", fitCurrent);
  // Formulas, pictures and sliders come later than the slide.
  window.addEventListener("load", () => {
    fitCurrent();
    const { startup } = window.MathJax;
    if (startup && startup.promise) startup.promise.then(fitCurrent);
    new MutationObserver(fitCurrent).observe(document.querySelector(".slides"), { subtree: true, childList: true });
    document.addEventListener("load", fitCurrent, true);
  });
})();
