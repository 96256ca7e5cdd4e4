/** Small things that every part of the page needs. */

export const $ = (id) => document.getElementById(`pg-${id}`);

/** Shows what went wrong, with a button to try again if there is something to try. */
export function fail(element, message, retry) {
  element.textContent = `${message} `;
  element.hidden = false;
  if (!retry) return;
  const button = Object.assign(document.createElement("button"), { type: "button", className: "pg-button", textContent: "Try again" });
  button.addEventListener("click", () => {
    $("network").focus({ preventScroll: true }); // this button goes, and the focus on it would be lost
    retry();
  });
  element.append(button);
}

/** A button that is of no use now. It keeps the focus, which a disabled one would lose. */
export function enable(button, on) {
  button.setAttribute("aria-disabled", String(!on));
}

export const enabled = (button) => button.getAttribute("aria-disabled") !== "true";

/** Has something done when an event comes to the element of that name. */
export const when = (id, event, action) => $(id).addEventListener(event, action);

/** Has radio buttons choose the brush of a grid. */
export function brushesOf(grid, name) {
  for (const radio of document.getElementsByName(name)) radio.addEventListener("change", () => (grid.brush = Number(radio.value)));
}

export const ERASERS = ["0", "Delete", "Backspace"];
