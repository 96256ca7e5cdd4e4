/**
 * The only script that the page loads by itself: it waits for the reader. A classic script, for modules
 * do not load from file://, where this one has to say so.
 */
(function () {
  const folder = new URL(".", document.currentScript.src).href;
  const box = document.getElementById("pg-start");
  const button = document.getElementById("pg-load");
  const problem = document.getElementById("pg-problem");

  function say(what, retry) {
    problem.innerHTML = what;
    problem.hidden = false;
    button.textContent = "Try again";
    button.hidden = !retry;
    button.disabled = false;
    if (retry) button.focus();
  }

  if (location.protocol === "file:") {
    say(
      "<strong>This page was opened as a file, and browsers do not let a file load others.</strong> Serve the book and " +
        "open it from there: <code>make serve</code> in the project's folder, or <code>python -m http.server</code> in the " +
        'folder of the built book. What the networks achieve is also <a href="#what-is-measured-on-what">recorded below</a>.',
      false,
    );
    return;
  }
  if (typeof WebAssembly !== "object") {
    say(
      "<strong>This browser does not run WebAssembly, which the networks need.</strong> Some browsers switch it off in a " +
        "strict mode: switch it on for this page, or use another browser.",
      true,
    );
  }

  let tries = 0;
  box.hidden = false;
  button.addEventListener("click", async () => {
    if (typeof WebAssembly !== "object") return location.reload();
    button.disabled = true;
    problem.hidden = true;
    try {
      // A script that failed to load is remembered as failed; another address is asked for anew.
      const script = await import(`${folder}playground.js${tries ? `?try=${tries}` : ""}`);
      await script.start(folder);
    } catch (error) {
      tries += 1;
      const text = document.createElement("span");
      text.textContent = error.message;
      say(
        `<strong>The playground could not be loaded.</strong> ${text.innerHTML}. ` +
          "Is the server still running, and the book built by <code>make book</code>? Then try again.",
        true,
      );
    }
  });
})();
