// Copying to the clipboard, which a browser may refuse; and buttons that copy the text beside them.
"use strict";
window.Copy = (() => {
  // What became of it, for the reader.
  async function text(words) {
    try {
      await navigator.clipboard.writeText(words);
      return "copied";
    } catch {
      return "could not copy: select the text and copy it yourself";
    }
  }
  addEventListener("DOMContentLoaded", () => {
    for (const button of document.querySelectorAll("button[data-copy]")) {
      const said = document.getElementById(`${button.dataset.copy}-said`);
      button.addEventListener("click", async () => (said.textContent = await text(document.getElementById(button.dataset.copy).textContent)));
    }
  });
  return { text };
})();
