// Moves the code of a sign-in link from the address, where it would stay in the history, into the form.
"use strict";
const field = document.getElementById("token");
if (field && location.hash.length > 1) {
  field.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  document.querySelector(".sign-in button").focus();
}
