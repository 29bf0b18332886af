"use strict";
// Sends each section as it changes, and shows what comes back. Without this script the button
// sends the whole form.
const pause = 300; // milliseconds after the last key

for (const section of document.querySelectorAll("fieldset")) {
	const result = section.querySelector(".result");
	let timer, asking;
	section.addEventListener("input", () => {
		clearTimeout(timer);
		asking?.abort(); // what was asked about is no longer what is typed
		timer = setTimeout(check, pause);
	});

	async function check() {
		const fields = new URLSearchParams();
		for (const f of section.elements) {
			if (f.name && (f.type !== "checkbox" || f.checked)) fields.append(f.name, f.value);
		}
		asking = new AbortController();
		const { signal } = asking;
		try {
			const answer = await fetch("/check/" + section.id, { method: "POST", body: fields, signal });
			if (!answer.ok) throw new Error(answer.statusText);
			const html = await answer.text();
			if (!signal.aborted) result.innerHTML = html; // escaped by the server, and scripts in it would not run
		} catch {
			if (!signal.aborted) result.textContent = "Not checked: the server does not answer.";
		}
	}
}
