package bench;

import java.time.Instant;
import java.time.LocalDate;
import java.time.OffsetDateTime;

/** RFC 3339 and epoch milliseconds; the usual form in UTC without going through java.time's parser. */
public final class Times {
    private Times() {}

    public static long millis(String text) {
        if (text.length() == 24 && text.charAt(23) == 'Z') {
            long day = LocalDate.of(number(text, 0, 4), number(text, 5, 7), number(text, 8, 10)).toEpochDay();
            long seconds = day * 86400 + number(text, 11, 13) * 3600L + number(text, 14, 16) * 60L + number(text, 17, 19);
            return seconds * 1000 + number(text, 20, 23);
        }
        return OffsetDateTime.parse(text).toInstant().toEpochMilli();
    }

    public static String rfc3339(long at) {
        return Instant.ofEpochMilli(at).toString();
    }

    private static int number(String text, int from, int to) {
        int found = 0;
        for (int i = from; i < to; i++) {
            found = found * 10 + text.charAt(i) - '0';
        }
        return found;
    }
}
