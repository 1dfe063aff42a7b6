package bench;

import java.util.concurrent.atomic.LongAdder;

/** How far the run has come: all of it happens in one JVM. */
final class Progress {
    static final LongAdder PROCESSED = new LongAdder();

    private Progress() {}

    /** Say `first`, and return when so many records have been processed. */
    static void waitFor(long records) throws InterruptedException {
        boolean said = false;
        while (PROCESSED.sum() < records) {
            if (!said && PROCESSED.sum() > 0) {
                said = true;
                System.out.println("first");
            }
            Thread.sleep(5);
        }
    }
}
