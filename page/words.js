/** The words on the page that change. */

export const TO_START = 'Press an arrow key, or the pad, to start';

/** The element of this id. */
export const byId = (id) => document.getElementById(id);

/** Write a text wherever the page has a place for it. */
export function say(name, text) {
  for (const place of document.querySelectorAll(`[data-say="${name}"]`)) {
    if (place.textContent !== text) place.textContent = text;
  }
}
