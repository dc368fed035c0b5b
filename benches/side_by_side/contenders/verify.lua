-- Verifies Paddle-Signature in nginx as a careful operator would: it checks header and age before it reads the body, computes the HMAC
-- with libcrypto through the FFI and a context that is keyed once, and compares digests with CRYPTO_memcmp.
local ffi = require "ffi"
ffi.cdef [[
typedef struct hmac_ctx_st HMAC_CTX;
typedef struct evp_md_st EVP_MD;
HMAC_CTX *HMAC_CTX_new(void);
int HMAC_Init_ex(HMAC_CTX *ctx, const void *key, int len, const EVP_MD *md, void *engine);
int HMAC_Update(HMAC_CTX *ctx, const char *data, size_t len);
int HMAC_Final(HMAC_CTX *ctx, unsigned char *md, unsigned int *len);
const EVP_MD *EVP_sha256(void);
int CRYPTO_memcmp(const void *a, const void *b, size_t len);
unsigned char *ngx_hex_dump(unsigned char *to, const unsigned char *from, size_t len);
]]
local crypto = ffi.load "libcrypto.so.3"
local abs = math.abs
local match, now, exit, request = ngx.re.match, ngx.time, ngx.exit, ngx.req

local M = {}
local context
local digest = ffi.new "unsigned char[32]"
local length = ffi.new "unsigned int[1]"
local hex = ffi.new "unsigned char[64]"

function M.key(secret)
    context = crypto.HMAC_CTX_new()
    assert(crypto.HMAC_Init_ex(context, secret, #secret, crypto.EVP_sha256(), nil) == 1)
end

function M.check(tolerance)
    local header = ngx.var.http_paddle_signature
    if not header then return exit(401) end
    local parts = match(header, "^ts=([1-9][0-9]{0,11});h1=([0-9a-f]{64})$", "jo")
    if not parts then return exit(401) end
    local ts, h1 = parts[1], parts[2]
    if abs(now() - tonumber(ts)) > tolerance then return exit(401) end
    request.read_body()
    local body = request.get_body_data() or ""
    crypto.HMAC_Init_ex(context, nil, 0, nil, nil)
    crypto.HMAC_Update(context, ts, #ts)
    crypto.HMAC_Update(context, ":", 1)
    crypto.HMAC_Update(context, body, #body)
    crypto.HMAC_Final(context, digest, length)
    ffi.C.ngx_hex_dump(hex, digest, 32)
    if crypto.CRYPTO_memcmp(hex, h1, 64) ~= 0 then return exit(401) end
end

return M
