// Receives Paddle's webhooks and verifies them again with Paddle's own SDK, as its documentation shows: over the raw body and the
// unchanged header. hookgate changes neither, so this code is the same with and without hookgate.
import { Environment, EventName, Paddle } from '@paddle/paddle-node-sdk';
import { fulfil, licences } from '@/lib/licences';

export const dynamic = 'force-dynamic';

const paddle = new Paddle(process.env.PADDLE_API_KEY ?? 'unused-here', { environment: Environment.sandbox });

export async function POST(request: Request) {
  const body = await request.text();
  const signature = request.headers.get('paddle-signature') ?? '';
  const event = await paddle.webhooks
    .unmarshal(body, process.env.PADDLE_WEBHOOK_SECRET ?? '', signature)
    .catch(() => null);
  if (!event) {
    return new Response('The signature is not genuine.\n', { status: 400 });
  }
  console.log(`received ${event.eventId}`);
  if (event.eventType !== EventName.TransactionCompleted) {
    return Response.json({ ignored: event.eventType });
  }
  const seats = event.data.items.reduce((sum, item) => sum + item.quantity, 0);
  await fulfil(event.eventId, event.data.id, seats);
  return new Response(licences(event.data.id, seats), {
    headers: { 'Content-Type': 'text/plain; charset=utf-8' },
  });
}
