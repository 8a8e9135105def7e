(() => {
  "use strict";
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
  const verdicts = all("details.verdict");
  const form = document.querySelector("form.filter");

  const unfold = (open) => verdicts.forEach((one) => { one.open = open; });
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target || !target.matches("details.verdict, section.explainer")) return;
    if (target.hidden) clear();
    if (target.matches("details")) target.open = true;
    target.scrollIntoView();
  };

  const chosen = () => all("fieldset input:checked", form).map((box) => box.value);
  const filter = () => {
    const text = form.querySelector("#explainer").value.trim().toLowerCase();
    const outcomes = chosen();
    let count = 0;
    for (const section of all("section.explainer")) {
      const named = section.dataset.explainer.toLowerCase().includes(text);
      const shown = all("details.verdict", section).filter((one) => {
        one.hidden = !named || (outcomes.length > 0 && !outcomes.includes(one.dataset.counted));
        return !one.hidden;
      });
      section.hidden = shown.length === 0;
      count += shown.length;
    }
    document.querySelector("p.none").hidden = count > 0;
    form.querySelector("#shown").textContent =
      count === verdicts.length ? `${count} verdicts` : `${count} of ${verdicts.length} verdicts`;
  };
  const clear = () => {
    form.reset();
    filter();
  };

  const copied = async (button) => {
    const command = button.parentElement.querySelector(".command");
    getSelection().selectAllChildren(command);
    let done = false;
    try {
      await navigator.clipboard.writeText(command.textContent);
      done = true;
    } catch {
      done = document.execCommand("copy");
    }
    button.textContent = done ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  };

  if (form) {
    form.hidden = false;
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("keydown", (event) => { if (event.key === "Escape") clear(); });
    form.querySelector("#unfold").addEventListener("click", () => unfold(true));
    form.querySelector("#fold").addEventListener("click", () => unfold(false));
    filter();
  }
  for (const button of all("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", () => copied(button));
  }
  all("details.verdict[data-folded]").forEach((one) => { one.open = false; });
  addEventListener("hashchange", reveal);
  // A click on the link that the address names already changes no address.
  for (const link of all('a[href^="#v"], a[href^="#e"]')) {
    link.addEventListener("click", () => setTimeout(reveal));
  }
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = verdicts.filter((one) => !one.open);
    unfold(true);
  });
  addEventListener("afterprint", () => folded.forEach((one) => { one.open = false; }));
  reveal();
})();
