// Parts that refresh themselves (data-live): they ask conditionally, so that "nothing new" costs a header,
// and they do not ask while nobody looks at the page.
(() => {
  "use strict";
  const tags = new Map();

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.detail.elt.hasAttribute("data-live")) event.preventDefault();
  });
  document.addEventListener("htmx:configRequest", (event) => {
    const tag = tags.get(event.detail.path);
    if (tag && event.detail.elt.hasAttribute("data-live")) event.detail.headers["If-None-Match"] = tag;
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const tag = event.detail.xhr && event.detail.xhr.getResponseHeader("ETag");
    if (tag) tags.set(event.detail.pathInfo.requestPath, tag);
  });
  // Whoever was logged out meanwhile is told by the whole page and not by a log-in form in the middle of it.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (new URL(event.detail.xhr.responseURL).pathname.startsWith("/login/")) {
      event.preventDefault();
      window.location.reload();
    }
  });
})();
