// Tells the window that opened this one what became of a connect link, and closes this one. The browser gives the message
// to that window only if it has the origin of the app's address. Without such a window the ordinary redirect follows.
const answer = document.getElementById("answer").dataset;
if (window.opener && !window.opener.closed) {
  const message = { link: answer.link };
  if (answer.error) message.error = answer.error;
  else if (answer.result) message.result = answer.result;
  window.opener.postMessage(message, answer.origin);
  window.close();
} else {
  location.replace(answer.address);
}
