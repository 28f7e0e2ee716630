// Listens to the stream of events while the page can be seen, and shows that the session was ended
// in another window. A browser opens few connections to a host, so hidden pages have none.
"use strict";

const over = document.getElementById("over");
let stream = null;

function listen() {
	if (stream !== null || document.visibilityState === "hidden") {
		return;
	}
	stream = new EventSource("/events"); // connects again by itself
	stream.addEventListener("alive", (event) => {
		// Another window may have signed in again, also as another user.
		if (!over.hidden || event.data !== document.body.dataset.user) {
			location.reload();
		}
	});
	stream.addEventListener("renew", renew);
	stream.addEventListener("over", showOver);
	stream.addEventListener("error", () => {
		if (stream !== null && stream.readyState === EventSource.CLOSED) { // the server is not well
			close();
			setTimeout(listen, 5000);
		}
	});
}

// Asks for another access token after the one of the stream has expired.
async function renew() {
	close();
	const answer = await fetch("/refresh", { method: "POST" }).catch(() => null);
	if (answer !== null && answer.ok) {
		listen();
	} else if (answer !== null && answer.status === 401) {
		showOver();
	} else {
		setTimeout(listen, 5000);
	}
}

function showOver() {
	close();
	for (const element of document.querySelectorAll(".signed-in")) {
		element.hidden = true;
	}
	over.hidden = false;
	over.querySelector("a").focus();
}

function close() {
	if (stream !== null) {
		stream.close();
		stream = null;
	}
}

document.addEventListener("visibilitychange", () => {
	if (document.visibilityState === "hidden") {
		close();
	} else {
		listen();
	}
});
window.addEventListener("focus", listen);
window.addEventListener("pagehide", close);
window.addEventListener("pageshow", listen);
