/* Sorting by a click on a heading, and filters. Without it the tables are whole all the same. */
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const key = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
        const button = document.createElement("button");
        button.type = "button";
        button.append(...head.childNodes);
        head.append(button);
        button.addEventListener("click", () => {
            const number = [...body.rows].some((row) => row.cells[column].dataset.value !== undefined);
            const first = number ? "descending" : "ascending";
            const other = number ? "ascending" : "descending";
            const order = head.getAttribute("aria-sort") === first ? other : first;
            for (const one of table.tHead.rows[0].cells) {
                one.removeAttribute("aria-sort");
            }
            head.setAttribute("aria-sort", order);
            const sign = order === "ascending" ? 1 : -1;
            const compare = (a, b) => {
                const x = key(a, column), y = key(b, column);
                if (number) { /* what was not measured comes last */
                    return (x === "") - (y === "") || sign * (Number(x) - Number(y));
                }
                return sign * x.localeCompare(y, "en", {numeric: true});
            };
            body.append(...[...body.rows].sort(compare));
        });
    });
}
const filters = document.getElementById("filters");
if (filters) {
    const rows = [...document.getElementById("rows").tBodies[0].rows];
    const [text, threads, trusted] = ["words", "count", "trusted"].map((id) => document.getElementById(id));
    const shown = document.getElementById("shown");
    const apply = () => {
        const words = text.value.toLowerCase().replaceAll("×", "x").split(/\s+/).filter(Boolean);
        let count = 0;
        for (const row of rows) {
            const name = row.dataset.words;
            const good = words.every((word) => name.includes(word)) && (!threads.value || row.dataset.threads === threads.value) &&
                (!trusted.checked || !row.classList.contains("noisy"));
            row.hidden = !good;
            count += good;
        }
        shown.textContent = `${count} of ${rows.length} rows`;
    };
    for (const one of [text, threads, trusted]) {
        one.addEventListener("input", apply);
    }
    filters.hidden = false;
    apply();
}
