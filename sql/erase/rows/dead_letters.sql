-- Records nobody could read that mention the person: bytes without a shop, so those of every shop.
--
-- `mention` is a pattern of an address, a number or a browser, with nothing around it that would make it another one.
{verb}
FROM dead_letters_log
WHERE key IN {persons:Array(String)}
    OR {mention:String} != '' AND (match(lower(value), {mention:String}) OR match(lower(reason), {mention:String}))
