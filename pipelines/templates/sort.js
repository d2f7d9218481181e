// Sorts a table by the column whose head is clicked: first by its better end, then the other way round.
// A cell's data-value is what counts; cells without one stay at the end in both directions.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const numbers = (a, b) => a - b;
  const names = (a, b) => a.localeCompare(b, "en", { numeric: true });

  heads.forEach((head, place) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const opposite = { ascending: "descending", descending: "ascending" };
      const direction = opposite[head.getAttribute("aria-sort")] || head.dataset.first;
      const sign = direction === "ascending" ? 1 : -1;
      const value = (row) => row.cells[place].dataset.value;
      const known = [...body.rows].filter((row) => value(row));
      const unknown = [...body.rows].filter((row) => !value(row));
      const compare = known.every((row) => isFinite(value(row))) ? numbers : names;
      known.sort((a, b) => sign * compare(value(a), value(b)));
      body.append(...known, ...unknown);
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", direction);
    });
  });
}
