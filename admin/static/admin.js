// Without this file every page can be read; with it the overview says whether it is live and the slider works.
"use strict";

const light = document.querySelector("#live");
const scrub = document.querySelector("#scrub");
const position = document.querySelector("#as_of");

if (scrub) {
  scrub.hidden = false;
  scrub.addEventListener("input", () => { position.value = scrub.value; });
  scrub.addEventListener("change", () => scrub.form.requestSubmit());
  position.addEventListener("input", () => { scrub.value = position.value; });
}

function follow(head) {
  const atTheEnd = position.value === position.max;
  position.max = scrub.max = head;
  if (atTheEnd) position.value = scrub.value = head;
}

if (light) {
  document.body.addEventListener("htmx:sseOpen", () => { light.dataset.state = "live"; });
  document.body.addEventListener("htmx:sseError", () => { light.dataset.state = "lost"; });
  document.body.addEventListener("htmx:sseMessage", (message) => follow(message.detail.data));
}
