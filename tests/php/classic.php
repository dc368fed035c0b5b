<?php
// Writes tests/vectors/php-classic.json: random forms, read, sorted, serialised and signed by a real PHP.
//
//     php tests/php/classic.php > tests/vectors/php-classic.json
//
// "plain" forms have names that a sender would use (dots, spaces, non-ASCII and integer-like ones included): they must be
// accepted. "odd" ones have names that PHP merges, nests or orders in its own way: each is accepted or refused as
// malformed, but never read differently from PHP.
mt_srand(20261121);
$key = openssl_pkey_new(['private_key_bits' => 2048, 'private_key_type' => OPENSSL_KEYTYPE_RSA]);

function pick(array $from) { return $from[mt_rand(0, count($from) - 1)]; }
function word(array $alphabet, int $most): string {
    $text = '';
    for ($n = mt_rand(1, $most); $n > 0; $n--) $text .= pick($alphabet);
    return $text;
}
$letters = str_split('abcxyzABCXYZ_');
$named = array_merge($letters, ['.', ' ', '-', '0', '9', 'é', '日', "\xff", '%', '+', '"', ';', ':', "\n", ']']);
$odd = array_merge($named, ['[', '[]', "\0", "\t", '1', '2', '+', 'e']);
$bytes = array_map('chr', range(0, 255));

$cases = [];
for ($i = 0; $i < 64; $i++) {
    $kind = $i < 40 ? 'plain' : 'odd';
    $pairs = [];
    for ($n = mt_rand(0, 12); $n > 0; $n--) {
        if ($kind === 'plain') {
            $name = $i % 3 === 0 && mt_rand(0, 2) === 0 ? (string) pick([0, 1, 7, 10, 42, 1000, -5, -10, PHP_INT_MAX, PHP_INT_MIN]) : pick($letters) . word($named, 8);
        } else {
            $name = mt_rand(0, 3) === 0 ? pick(['007', '1e3', '-0', '9223372036854775808', '12', '2', '12a', ' a', 'a b', 'a.b', 'a_b', '_a', '', ' ']) : word($odd, 4);
        }
        $pairs[] = [$name, mt_rand(0, 4) === 0 ? '' : word($bytes, 12)];
    }
    $encode = fn (array $pair) => urlencode($pair[0]) . '=' . urlencode($pair[1]);
    if ($kind === 'plain') {
        // Names that PHP merges are odd by definition.
        $unique = [];
        foreach ($pairs as $pair) { parse_str($encode($pair), $one); $unique[(string) array_key_first($one)] = $pair; }
        $pairs = array_values($unique);
    }
    shuffle($pairs);
    $form = implode('&', array_map($encode, $pairs));
    parse_str($form, $fields);
    ksort($fields);
    foreach ($fields as $name => $value) if (!is_array($value)) $fields[$name] = "$value";
    $serialized = serialize($fields);
    openssl_sign($serialized, $signature, $key, OPENSSL_ALGO_SHA1);
    $form .= ($form === '' ? '' : '&') . 'p_signature=' . urlencode(base64_encode($signature));
    $cases[] = ['kind' => $kind, 'form' => $form, 'serialized' => base64_encode($serialized)];
}
echo json_encode([
    'implementation' => 'PHP ' . PHP_VERSION . ': parse_str, ksort, serialize, openssl_sign',
    'public_key' => openssl_pkey_get_details($key)['key'],
    'cases' => $cases,
], JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES | JSON_THROW_ON_ERROR), "\n";
