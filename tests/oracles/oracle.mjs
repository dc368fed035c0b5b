// Signs and verifies requests with the libraries that providers (and others) publish. It reads one JSON object per line
// and answers each with one line.
//
// The tests keep one process running. `sign` returns the library's own signature; where a library only verifies,
// node:crypto signs, and the operation fails unless the library accepts it. `verify` returns the library's verdict on a
// request that hookgate signed. Bodies are text, because most of these libraries accept nothing else.

import { serve } from './base.mjs';
import './own.mjs';
import './platforms.mjs';
import './others.mjs';
import './documents.mjs';

await serve();
