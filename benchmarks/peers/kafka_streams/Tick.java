import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;

/** A record of the topic: a trade, a daily bar or a clock, as Jackson reads it. */
@JsonIgnoreProperties(ignoreUnknown = true)
public final class Tick {
    static final ObjectReader READER = new ObjectMapper().readerFor(Tick.class);

    public String type;
    public String instrument;
    public String time;
    public double price;
    public double size;

    @JsonProperty("session_date")
    public String sessionDate;

    public double high;
    public double low;
}
