// Runs before every request: logs it, and refuses webhooks that did not come through hookgate.
import { type NextRequest, NextResponse } from 'next/server';

export function proxy(request: NextRequest) {
  console.log(`request ${request.method} ${request.nextUrl.pathname}`);
  const token = process.env.GATEWAY_TOKEN;
  if (request.nextUrl.pathname.startsWith('/api/webhooks/') && request.headers.get('x-gateway-token') !== token) {
    return new NextResponse('Not through here.\n', { status: 403 });
  }
  return NextResponse.next();
}
