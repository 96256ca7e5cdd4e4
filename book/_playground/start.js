/**
 * The only script that the page loads by itself: it waits for the reader. A classic script, because modules
 * do not load from file://, where this one has to say so.
 */
(function () {
  const folder = new URL(".", document.currentScript.src).href;
  const box = document.getElementById("pg-start");
  const button = document.getElementById("pg-load");
  const problem = document.getElementById("pg-problem");
  const MODULES = ["playground.js", "worker.js", "../vendor/onnxruntime/ort.wasm.min.mjs", "../vendor/onnxruntime/ort-wasm-simd-threaded.mjs"];
  const SCRIPT_TYPE = /^\s*(text|application)\/(x-)?(java|ecma)script\s*(;|$)/i;

  /** Shows what went wrong: a sentence, and more as text, in which nothing is markup. */
  function say(sentence, more) {
    problem.replaceChildren(Object.assign(document.createElement("strong"), { textContent: sentence }), ` ${more}`);
    problem.hidden = false;
  }

  if (location.protocol === "file:") {
    say(
      "This page was opened as a file, and browsers do not let a file load others.",
      "Serve the book and open it from there: “make serve” in the project's folder, or “python -m http.server” in the " +
        "folder of the built book. What the networks achieve is also recorded at the end of this page.",
    );
    button.hidden = true;
    return;
  }
  const runs = typeof WebAssembly === "object";
  if (!runs) {
    say(
      "This browser does not run WebAssembly, which the networks need.",
      "Some browsers switch it off in a strict mode: switch it on for this page, or use another browser.",
    );
    button.textContent = "Try again";
  }

  /** Which module comes with a type that browsers refuse for modules; or null. They do not say so to a script. */
  async function wrongType() {
    for (const module of MODULES) {
      try {
        const { ok, headers } = await fetch(folder + module, { method: "HEAD" });
        const type = headers.get("Content-Type") ?? "no type";
        if (ok && !SCRIPT_TYPE.test(type)) return `The server sends ${module.split("/").at(-1)} as ${type}`;
      } catch {
        return null; // the server does not answer: types are not to blame
      }
    }
    return null;
  }

  let busy = false;
  let script = null;
  let again = false;
  box.hidden = false;
  button.addEventListener("click", async () => {
    // a script that failed to load is remembered as failed, until the page is loaded again
    if (!runs || (again && !script)) return location.reload();
    if (busy) return;
    busy = true;
    button.setAttribute("aria-disabled", "true"); // not disabled: it would lose the focus
    problem.hidden = true;
    try {
      script = await import(`${folder}playground.js`);
      await script.start(folder);
    } catch (error) {
      const type = await wrongType();
      if (type) {
        say(
          "The playground could not be loaded, because the server gives its scripts a wrong type.",
          `${type}, and browsers run modules only as text/javascript: set the MIME type of .js and .mjs to that.`,
        );
      } else {
        say("The playground could not be loaded.", `${error.message}. Is the server still running, and the book built by “make book”? Then try again.`);
      }
      again = true;
      button.textContent = "Try again";
    }
    busy = false;
    button.setAttribute("aria-disabled", "false");
  });
})();
