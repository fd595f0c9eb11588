// The live part of the page: sections that the environment sends again, and how much time tokens have left.
"use strict";

// left writes the seconds that are left into every element that has an end.
function left() {
  for (const element of document.querySelectorAll("[data-until]")) {
    const seconds = Math.floor(Number(element.dataset.until) - Date.now() / 1000);
    element.textContent =
      seconds < 0 ? "expired" : seconds < 60 ? `${seconds} s left` : `${Math.floor(seconds / 60)} min ${seconds % 60} s left`;
  }
}

// replace shows a section anew. What was unfolded stays unfolded, and a button that had the focus keeps it.
function replace(id, html) {
  const section = document.getElementById(id);
  const open = new Set([...section.querySelectorAll("details[open]")].map((details) => details.dataset.key));
  const focused = section.contains(document.activeElement) ? document.activeElement.id : "";
  section.innerHTML = html; // from the environment's own templates, which escape what others have said
  for (const details of section.querySelectorAll("details")) {
    details.open = open.has(details.dataset.key);
  }
  if (focused) {
    document.getElementById(focused)?.focus();
  }
  left();
}

let events;

// connect listens while the page can be seen: a browser has only few connections for all pages of one server.
function connect() {
  events?.close();
  events = undefined;
  if (document.hidden) {
    return;
  }
  events = new EventSource("/devenv/events");
  events.addEventListener("section", (event) => {
    const { id, html } = JSON.parse(event.data);
    replace(id, html);
  });
  events.addEventListener("open", () => document.documentElement.classList.add("live"));
  events.addEventListener("error", () => document.documentElement.classList.remove("live"));
}

document.addEventListener("visibilitychange", connect);
setInterval(left, 1000);
connect();
left();
