// The shop's licences: one key for each seat, and a file with the events that were fulfilled.
import { createHmac } from 'node:crypto';
import { appendFile, readFile } from 'node:fs/promises';
import path from 'node:path';

const ledger = () => path.join(process.env.STATE ?? '.', 'ledger.txt');

let fulfilled: Promise<Set<string>> | undefined;

function known(): Promise<Set<string>> {
  fulfilled ??= readFile(ledger(), 'utf8').then(
    (text) => new Set(text.split('\n')),
    () => new Set<string>(),
  );
  return fulfilled;
}

/** Fulfils an event once, even if Paddle delivers it several times. */
export async function fulfil(event: string, transaction: string, seats: number) {
  const events = await known();
  if (events.has(event)) return;
  events.add(event);
  await appendFile(ledger(), `${event}\n`);
  console.log(`fulfilled ${event}: ${transaction} with ${seats} seats`);
}

/** The licence text, one line for each seat, generated while it is read. */
export function licences(transaction: string, seats: number): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let seat = 0;
  return new ReadableStream({
    pull(controller) {
      if (seat === seats) return controller.close();
      seat += 1;
      controller.enqueue(encoder.encode(`${licence(transaction, seat)}\r\n`));
    },
  });
}

function licence(transaction: string, seat: number): string {
  const mac = createHmac('sha256', process.env.LICENCE_SECRET ?? '').update(`${transaction}/${seat}`);
  return mac.digest('hex').slice(0, 20).toUpperCase().match(/.{5}/g)!.join('-');
}
