-- The lines of a list as CSV or XML: of what the list's own statement gives (put in at `list`), the `columns` that were chosen, in the
-- `order` of the list; `names` are their names. Each line ends with the line feed that TabSeparatedRaw writes.
--
-- CSV (RFC 4180): every text in quotes; one that a spreadsheet would take for a formula gets a ' before it (OWASP), unless its column is
-- one of `numbers`. XML: what no document of XML 1.0 may contain becomes U+FFFD, as in both does what is no UTF-8. That is looked for in
-- whole lines, not in each cell, since what stands between the cells is harmless.
WITH
    -- words for the lists, whose columns are all texts
    ((moment) -> if(moment IS NULL, '', concat(replaceOne(toString(assumeNotNull(moment)), ' ', 'T'), 'Z'))) AS rfc3339,
    ((amount) -> if(amount = round(amount, 2), toDecimalString(amount, 2), toString(amount))) AS money,
    -- words for the lines
    ((cell, name) -> concat('"',
        if(left(cell, 1) IN ('=', '+', '-', '@', '\t', '\r', '\n') AND NOT has({numbers:Array(String)}, name), '''', ''),
        replaceAll(cell, '"', '""'), '"')) AS quoted,
    ((cell, name) -> concat('<', name, '>', encodeXMLComponent(cell), '</', name, '>')) AS tagged,
    '[\\x00-\\x08\\x0B\\x0C\\x0E-\\x1F\\x{FFFE}\\x{FFFF}]' AS forbidden,
    ((line) -> replaceAll(if(match(line, forbidden), replaceRegexpAll(line, forbidden, '\xEF\xBF\xBD'), line), '\r', '&#13;')) AS allowed
SELECT
    if({format:String} = 'csv',
        toValidUTF8(concat(
            arrayStringConcat(arrayMap((cell, name) -> quoted(cell, name), [{columns}], {names:Array(String)}), ','), '\r')),
        allowed(toValidUTF8(concat('<', {element:String}, '>',
            arrayStringConcat(arrayMap((cell, name) -> tagged(cell, name), [{columns}], {names:Array(String)})),
            '</', {element:String}, '>')))) AS line
FROM ({list})
ORDER BY {order}
