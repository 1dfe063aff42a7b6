-- Carts that were left, those of one day (from `begin` up to, not including, `end`, epoch milliseconds), the oldest first: each a line
-- of CSV or an element of XML, of the columns `chosen` by their places. A filter is off when its parameter is empty; `search` is a
-- pattern for LIKE, in small letters.
--
-- columns: abandonment_id, shop_id, cart_id, episode, abandoned_at, last_activity, created_at, stage, state, currency, value, units, products, items, cart_url, device_id, customer_id, email, subscriber_id, evidence_how, evidence_words, order_id, message_status, message_reason, message_words, message_at, plan_id
--
-- CSV: every text in quotes; one that a spreadsheet would take for a formula gets a ' before it (OWASP). XML: what no document of
-- XML 1.0 may contain becomes U+FFFD.
WITH
    ((moment) -> concat(replaceOne(toString(moment), ' ', 'T'), 'Z')) AS rfc3339,
    ((cell) -> concat('"', replaceAll(if(match(cell, '^[=+\\-@\t\r\n]'), concat('''', cell), cell), '"', '""'), '"')) AS csv,
    ((cell) -> replaceAll(replaceAll(replaceAll(replaceAll(
        replaceRegexpAll(toValidUTF8(cell), '[^\t\n\r\\x{20}-\\x{D7FF}\\x{E000}-\\x{FFFD}\\x{10000}-\\x{10FFFF}]', '\xEF\xBF\xBD'),
        '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '\r', '&#13;')) AS xml,
    [
        abandonment_id, toString(shop_id), cart_id, toString(episode), rfc3339(abandoned_at), rfc3339(last_activity), rfc3339(created_at),
        toString(stage), toString(state), toString(currency), toDecimalString(value, 2), toString(units),
        arrayStringConcat(JSONExtract(items, 'Array(Tuple(name String))').name, ', '), items, cart_url, device_id, customer_id, email,
        subscriber_id, toString(evidence_how), evidence_words, order_id, toString(message_status), toString(message_reason),
        message_words, if(message_at IS NULL, '', rfc3339(assumeNotNull(message_at))), plan_id
    ] AS cells
SELECT
    if({format:String} = 'csv',
        concat(arrayStringConcat(arrayMap(i -> csv(cells[i]), {chosen:Array(UInt8)}), ','), '\r\n'),
        concat('<cart>', arrayStringConcat(arrayMap((i, name) -> concat('<', name, '>', xml(cells[i]), '</', name, '>'),
            {chosen:Array(UInt8)}, {names:Array(String)})), '</cart>\n')) AS line
FROM abandonments_log FINAL
WHERE abandoned_at >= fromUnixTimestamp64Milli({begin:Int64}, 'UTC') AND abandoned_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
    AND ({shop:String} = '' OR shop_id = {shop:String})
    AND ({state:String} = '' OR state = {state:String})
    AND ({stage:String} = '' OR stage = {stage:String})
    AND ({search:String} = '' OR search LIKE {search:String})
ORDER BY abandoned_at, abandonment_id
