package bench;

import java.util.HashMap;
import java.util.Map;

/** Arguments of the form --name=value. */
public final class Flags {
    private final Map<String, String> values = new HashMap<>();

    public Flags(String[] arguments) {
        for (String argument : arguments) {
            int equals = argument.indexOf('=');
            values.put(argument.substring(2, equals), argument.substring(equals + 1));
        }
    }

    public String get(String name) {
        return values.get(name);
    }

    public int number(String name) {
        return Integer.parseInt(values.get(name));
    }

    public int number(String name, int otherwise) {
        return values.containsKey(name) ? number(name) : otherwise;
    }
}
