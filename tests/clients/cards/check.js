// Judges messages for Microsoft Teams. Every line read is a request: {"body": "..."}.
// Every line written is `ok`, or what is wrong with it.
const { AdaptiveCard, SerializationContext, Versions } = require("adaptivecards/dist/adaptivecards.js");

function judge(line) {
  const { body } = JSON.parse(line);
  if (Buffer.byteLength(body) > 28_000) return "longer than 28 kB";
  const message = JSON.parse(body);
  const [attachment] = message.attachments;
  if (message.type !== "message") return "no message";
  if (attachment.contentType !== "application/vnd.microsoft.card.adaptive") return "no card";
  const card = new AdaptiveCard();
  card.version = Versions.v1_4;
  const context = new SerializationContext(Versions.v1_4);
  card.parse(attachment.content, context);
  for (let nth = 0; nth < context.eventCount; nth++) return context.getEventAt(nth).message;
  const [problem] = card.validateProperties().validationEvents;
  if (problem) return problem.message;
  return card.getItemCount() > 0 ? "ok" : "an empty card";
}

require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    let said;
    try {
      said = judge(line);
    } catch (problem) {
      said = String(problem);
    }
    process.stdout.write(said.replaceAll("\n", " ") + "\n");
  });
